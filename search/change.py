"""What changed in a space since its study was made, and whether the study can go on with it.

A study can go on where every trial that it has could have come from the new space and its value would be the
same: a range that was widened, another sampler or pruner. See docs/decisions/0024-changed-spaces.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer import Config

#: what decides which trials come next, and not what one is worth
_AHEAD = ("sampler", "pruner", "seed")


@dataclass(frozen=True)
class Changes:
    """Lines such as "search.KEY.low was 1e-05 and is 1e-06". harmless: a study goes on. others: not."""

    harmless: tuple[str, ...]
    others: tuple[str, ...]


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Changes:
    """The differences between two definitions of a space."""
    old, new = completed(old), completed(json.loads(json.dumps(new)))
    before, after = _flat(old), _flat(new)
    widened = {key for key in old["search"] if _is_wider(old["search"][key], new["search"].get(key))}
    harmless: list[str] = []
    others: list[str] = []
    for key in dict.fromkeys([*before, *after]):
        if before.get(key) == after.get(key):
            continue
        line = f"{key} was {before.get(key, 'absent')} and is {after.get(key, 'absent')}"
        searched = key.removeprefix("search.").rpartition(".")[0]
        ok = key.split(".")[0] in _AHEAD or (key.startswith("search.") and searched in widened)
        (harmless if ok else others).append(line)
    return Changes(tuple(harmless), tuple(others))


def completed(definition: Mapping[str, Any]) -> dict[str, Any]:
    """`definition` with the defaults of settings that did not exist when it was made: they change nothing."""
    defaults = Config().model_dump(mode="json")
    known = definition["config"]
    config = {section: {**settings, **known.get(section, {})} for section, settings in defaults.items()}
    return {**definition, "config": {**known, **config}}


def _is_wider(old: Mapping[str, Any], new: Mapping[str, Any] | None) -> bool:
    """Does the new range hold all of the old one, and nothing else differ?"""
    if new is None or "low" not in old or "low" not in new:
        return False
    ends = ("low", "high")
    rest = [{key: value for key, value in one.items() if key not in ends} for one in (old, new)]
    if rest[0] != rest[1] or new["low"] > old["low"] or new["high"] < old["high"]:
        return False
    step = old.get("step") or (1 if old["type"] == "int" else None)
    if step is None:
        return True
    shift = (old["low"] - new["low"]) / step
    return math.isclose(shift, round(shift), abs_tol=1e-6)


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, dict) and item:
            flat |= _flat(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(item, ensure_ascii=False)
    return flat
