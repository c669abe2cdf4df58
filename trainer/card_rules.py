"""What the rules for small cards make of a configuration, said before anything is run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trainer.config.loader import Resolved
from trainer.config.schema import key_paths
from trainer.layout import spec_of
from trainer.memory.card import present_card, show_size
from trainer.memory.fitting import small_card_rules

if TYPE_CHECKING:
    from trainer.config.schema import Config
    from trainer.memory.card import CardSpec


def under_card_rules(resolved: Resolved, *, card: CardSpec | None) -> Resolved:
    """`resolved` as a run on `card` would start from it: the rules are the origin of what they set.

    card None: the device that is here, if there is one. What depends on the plan (gradient checkpointing,
    still smaller micro-batches) needs data and model, and is not asked for here.
    """
    present = None if card and card.virtual else present_card(card.index or 0 if card else 0)
    spec = spec_of(card, present) or card
    if spec is None:
        return resolved
    ruled, _ = small_card_rules(resolved.config, spec)
    changed = [path for path in key_paths() if _value(ruled, path) != _value(resolved.config, path)]
    size = show_size(spec.total_bytes)
    origins = {path: f"card rule: a card of {size}; {_before(resolved, path)}" for path in changed}
    note = [f"No CUDA device here: the card rules are those of {spec.name}"] if _absent(spec, present) else []
    notes = [*resolved.notes, *(note if changed else [])]
    return replace(resolved, config=ruled, origins={**resolved.origins, **origins}, notes=notes)


def _absent(spec: CardSpec, present: CardSpec | None) -> bool:
    return present is None and not spec.virtual


def _before(resolved: Resolved, path: str) -> str:
    """What the rule changed, and where that came from: `16 was the default`, `16 was of mine.yaml:2`."""
    origin, value = resolved.origins[path], _value(resolved.config, path)
    shown = {True: "true", False: "false", None: "null"}.get(value, value)
    return f"{shown} was the default" if origin == "default" else f"{shown} was of {origin}"


def _value(config: Config, path: str) -> Any:
    section, _, key = path.partition(".")
    return getattr(getattr(config, section), key)
