"""What a card makes of a configuration, by its rules and by the plan, said before anything is run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trainer.config.loader import Resolved
from trainer.config.schema import key_paths
from trainer.config.wording import show
from trainer.errors import UserError
from trainer.layout import laid_out, spec_of
from trainer.memory.card import present_card, show_size
from trainer.memory.fitting import small_card_rules
from trainer.room import Shapes, room_of

if TYPE_CHECKING:
    from trainer.config.schema import Config
    from trainer.memory.card import CardSpec
    from trainer.room import Room


def under_card_rules(resolved: Resolved, *, card: CardSpec | None) -> Resolved:
    """`resolved` as a run on `card` would train it: rules and plan are the origin of what they set.

    card None: the device that is here, if there is one. Without data and model there is no plan, and a note
    says why; the rules hold all the same.
    """
    present = None if card and card.virtual else present_card(card.index or 0 if card else 0)
    spec = spec_of(card, present) or card
    if spec is None:
        return resolved
    ruled, _ = small_card_rules(resolved.config, spec)
    found = _changed(resolved, ruled, why=f"card rule: a card of {show_size(spec.total_bytes)}")
    if present is None and not spec.virtual and ruled != resolved.config:
        found = _noted(found, f"No CUDA device here: the card rules are those of {spec.name}")
    return _planned(found, spec)


def _planned(resolved: Resolved, spec: CardSpec) -> Resolved:
    try:
        shape = Shapes().shape(resolved.config)
    except UserError as error:
        return _noted(resolved, f"Not planned: {str(error).splitlines()[0]}")
    layout = laid_out(resolved.config, shape=shape, spec=spec)
    found = _changed(resolved, layout.config, why=f"plan: what fits {spec.name}")
    return _noted(found, _verdict(room_of(layout, spec), spec))


def _verdict(room: Room, spec: CardSpec) -> str:
    measures = "; ".join(room.measures)
    if not room.needed_bytes:
        return measures
    if room.verdict == "no":
        return f"{spec.name} is too small: even with every measure this run {room.shortfall}"
    needed = f"{show_size(room.needed_bytes)} of {show_size(room.limit_bytes)}"
    return f"Planned for {spec.name}: {needed}" + (f" with {measures}" if measures else "")


def _changed(resolved: Resolved, config: Config, *, why: str) -> Resolved:
    """`resolved` with the values of `config`; what differs comes from `why`, with what was there before."""
    changed = [path for path in key_paths() if _value(config, path) != _value(resolved.config, path)]
    origins = {path: f"{why}; {_before(resolved, path)}" for path in changed}
    return replace(resolved, config=config, origins={**resolved.origins, **origins})


def _noted(resolved: Resolved, note: str) -> Resolved:
    return replace(resolved, notes=[*resolved.notes, note])


def _before(resolved: Resolved, path: str) -> str:
    """What was changed, and where that came from: `16 was the default`, `16 was of mine.yaml:2`."""
    origin, shown = resolved.origins[path], show(_value(resolved.config, path))
    if origin == "default":
        return f"{shown} was the default"
    return f"{shown} by {origin}" if origin.startswith("card rule") else f"{shown} was of {origin}"


def _value(config: Config, path: str) -> Any:
    section, _, key = path.partition(".")
    return getattr(getattr(config, section), key)
