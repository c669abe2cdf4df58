"""When two texts are the same: after NFKC, without white space, in one case."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainer.data.tasks import SINGLE


def identity(text: str) -> str:
    """What two texts share that are the same for a reader: full-width forms, spaces and case set aside."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def same_texts(keys: Iterable[str]) -> list[list[int]]:
    """Positions of each key that occurs more than once, in order of first appearance."""
    found: dict[str, list[int]] = {}
    for position, key in enumerate(keys):
        found.setdefault(key, []).append(position)
    return [positions for positions in found.values() if len(positions) > 1]


def label_fields(fields: Iterable[str]) -> tuple[str, ...]:
    """The fields that hold labels, by their names: `labels`, and what ends in `_labels`."""
    return tuple(sorted(field for field in fields if field == SINGLE or field.endswith(f"_{SINGLE}")))


def contradict(rows: Sequence[Mapping[str, Any]], *, fields: Iterable[str]) -> bool:
    """Whether two of these rows give different labels for one field; a missing label agrees with any."""
    return any(len({repr(row[field]) for row in rows if row.get(field) is not None}) > 1 for field in fields)
