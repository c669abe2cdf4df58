"""What of a space a card can hold: planned before the study starts, asked before every trial.

Choices that fit in no combination are taken out of the space when the study is made, and stay out; all else
stays in, and a suggested combination that cannot fit is told as such without being started. See
docs/decisions/0010-what-a-card-cannot-hold.md.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

from search.dimension import Choice, Dimension, applies, is_number, same
from search.engine.job import Job, RoomJob
from search.objective import in_order
from search.space import Space
from trainer import Room, UserError, WorkerLost, show_size

if TYPE_CHECKING:
    from search.audience import Audience
    from trainer import CardSpec, Config, Observer, Report

#: below the study's directory
ROOM_FILE = "room.json"

#: keys that decide how much memory a training step takes
MEMORY_KEYS = frozenset(
    {
        "data.train_path",  # how many tokens occur
        "data.val_path",
        "model.name",
        "model.max_sequence_length",
        "model.pooling",
        "model.dropout_rate",
        "model.num_labels",
        "model.use_multitask",
        "training.batch_size",
        "training.gradient_accumulation_steps",
        "training.effective_batch_size",
        "training.auto_batch_size",
        "training.fp16",
        "training.bf16",
        "training.trained_layers",
        "optimization.optimizer",
        "optimization.gradient_checkpointing",
        "optimization.memory_efficient_attention",
        "optimization.cpu_offload",
    }
)
_DROPOUT = "model.dropout_rate"

#: of a space with more combinations only the extreme values are planned; the rest when it is suggested
MOST = 64

Ask = Callable[[Sequence["Config"]], list[Room]]


@dataclass(frozen=True)
class Planned:
    """A combination of the values that decide memory (the others do not matter), and its room."""

    values: dict[str, Any]
    room: Room


@dataclass(frozen=True)
class SpaceRoom:
    """What `card` holds of a space."""

    card: str
    planned: tuple[Planned, ...]
    seconds: float = 0.0

    def trimmed(self, space: Space) -> dict[str, list[Choice]]:
        """Key path -> choices of `space` that fit in no combination.

        A sampler that was given its own grid asks for what is on it, and is not contradicted.
        """
        if "search_space" in space.sampler.args:
            return {}
        lost = {key: self._lost(key, dimension) for key, dimension in space.search.items()}
        return {key: choices for key, choices in lost.items() if choices}

    def _lost(self, key: str, dimension: Dimension) -> list[Choice]:
        """Only what was planned is judged; memory grows with every number, so the extremes speak for all."""
        lost = []
        for choice in dimension.choices or ():
            among = [one for one in self.planned if _has(one, key, choice)]
            if among and all(one.room.verdict == "no" for one in among):
                lost.append(choice)
        return lost

    def lines(self, space: Space) -> list[str]:
        """For a person: what fits, with which measures, and what does not, with the numbers."""
        limit = show_size(self.planned[0].room.limit_bytes)
        fitting = [one for one in self.planned if one.room.verdict != "no"]
        count = f"{len(fitting)} of {len(self.planned)} combinations fit"
        lines = [f"{self.card} has {limit} for a trial: {count} (planned in {self.seconds:.0f} s)"]
        for measures, group in _grouped(fitting):
            if measures:
                lines.append(f"  {self._described(group)}: with {'; '.join(measures)}")
        trimmed = self.trimmed(space)
        for key, choices in trimmed.items():
            lines += [self._trimmed_line(key, choice) for choice in choices]
        rest = [one for one in self.planned if one.room.verdict == "no" and not _has_any(one, trimmed)]
        if rest:
            least = min(rest, key=lambda one: one.room.over_bytes).room
            lines.append(f"  never started: {self._described(rest)}; the least {least.shortfall}")
        return lines

    def to_json(self) -> dict[str, Any]:
        """All of it, for `room.json`."""
        return {"card": self.card, "planned": [asdict(one) for one in self.planned]}

    def _trimmed_line(self, key: str, choice: Choice) -> str:
        rooms = [one.room for one in self.planned if _has(one, key, choice)]
        least = min(rooms, key=lambda room: room.over_bytes)
        return f"  not searched: {key} {choice}; it {least.shortfall}, even with every measure"

    def _described(self, group: Sequence[Planned]) -> str:
        """The values that tell `group` from the rest."""
        parts = []
        for key in dict.fromkeys(key for one in self.planned for key in one.values):
            everywhere, here = (_values(among, key) for among in (self.planned, group))
            if len(here) < len(everywhere):
                parts.append(f"{key.rpartition('.')[2]} {'/'.join(here)}")
        return ", ".join(parts) or (
            "all of them" if len(group) == len(self.planned) else f"{len(group)} of them"
        )


class RoomBook:
    """The rooms of a space's combinations: those that were planned, others on demand."""

    def __init__(self, space: Space, room: SpaceRoom, *, ask: Ask) -> None:
        self._space = space
        self._ask = ask
        self._known = {_key(one.values): one.room for one in room.planned}

    def known(self) -> tuple[Room, ...]:
        """Of every combination that was planned so far."""
        return tuple(self._known.values())

    def room(self, values: Mapping[str, Any]) -> Room:
        """The room of a trial with `values`."""
        key = _key(memory_values(values))
        if key not in self._known:
            (self._known[key],) = self._ask([self._space.trial_config(values)])
        return self._known[key]

    def room_of(self, config: Config) -> Room:
        """The room of the trial with this configuration."""
        values = {}
        for key in in_order(self._space.search):
            section, _, name = key.partition(".")
            values[key] = getattr(getattr(config, section), name)
        return self.room(_possible(values, self._space))


class Planning(Protocol):
    """Where jobs run."""

    def run(self, job: Job, *, observer: Observer, report: Report) -> dict[str, Any]:
        """Run `job` to its end; what it left behind, as a dict."""


@dataclass(frozen=True)
class Surveyor:
    """Has rooms planned in a child process; card None: the device that is here."""

    engine: Planning
    audience: Audience
    card: CardSpec | None

    def __call__(self, configs: Sequence[Config]) -> list[Room]:
        """The rooms of `configs`, in their order.

        Raises:
            UserError: data or model of one cannot be used. WorkerLost: the planning crashed.
        """
        with tempfile.TemporaryDirectory() as directory:
            job = RoomJob(tuple(configs), directory, self.card)
            found = self.engine.run(
                job, observer=_Progress(self.audience), report=lambda step, metrics: False
            )
        if "rooms" not in found:
            fault = UserError if found.get("error_kind") == "user" else WorkerLost
            raise fault(f"while planning memory: {found.get('error')}")
        return [Room(**{**room, "measures": tuple(room["measures"])}) for room in found["rooms"]]


def survey(space: Space, *, card: str, ask: Ask) -> SpaceRoom:
    """Plan the combinations of `space` that decide memory on the card called `card`.

    Raises:
        UserError: the card holds none of them; the message names the shortfall.
    """
    started = time.monotonic()
    wanted = combinations(space)
    rooms = ask([space.trial_config(values) for values in wanted])
    planned = tuple(Planned(memory_values(v), room) for v, room in zip(wanted, rooms, strict=True))
    least = min(rooms, key=lambda room: room.over_bytes)
    if all(room.verdict == "no" for room in rooms):
        raise UserError(
            f"{card} cannot hold any of this space: the smallest of {len(rooms)} combinations "
            f"{least.shortfall}, even with every measure; "
            "use shorter texts, a smaller model, or a larger card"
        )
    return SpaceRoom(card, planned, time.monotonic() - started)


def memory_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Of a trial's values those that decide memory; of dropout only whether there is any."""
    kept = {key: value for key, value in values.items() if key in MEMORY_KEYS}
    if _DROPOUT in kept:
        kept[_DROPOUT] = 0.1 if kept[_DROPOUT] else 0.0
    return kept


def combinations(space: Space) -> list[dict[str, Any]]:
    """Every combination of the values that decide memory; the extreme ones if there are more than `MOST`."""
    keys = [key for key in in_order(space.search) if key in _deciding(space.search)]
    every = {key: _spread(key, space.search[key], only_ends=False) for key in keys}
    if prod(len(values) for values in every.values()) > MOST:
        every = {key: _spread(key, space.search[key], only_ends=True) for key in keys}
    found: dict[str, dict[str, Any]] = {}
    for chosen in product(*every.values()):
        possible = _possible(dict(zip(every, chosen, strict=True)), space)
        found.setdefault(_key(memory_values(possible)), possible)
    return list(found.values())


def confined(space: Space, trimmed: Mapping[str, Sequence[Choice]]) -> Space:
    """`space` without the choices in `trimmed`, and without known-good points that use them."""
    if not trimmed:
        return space
    search = {key: _without(dimension, trimmed.get(key, ())) for key, dimension in space.search.items()}
    enqueue = [
        point
        for point in space.enqueue
        if all(key not in search or search[key].takes(value) for key, value in point.items())
    ]
    return replace(space, search=search, enqueue=enqueue)


def _without(dimension: Dimension, lost: Sequence[Choice]) -> Dimension:
    if not lost:
        return dimension
    kept = [choice for choice in dimension.choices or () if not any(same(choice, gone) for gone in lost)]
    return replace(dimension, choices=kept)


def _deciding(search: Mapping[str, Dimension]) -> set[str]:
    """Keys that decide memory, and those that decide whether such a key exists."""
    found = set(search) & MEMORY_KEYS
    waiting = list(found)
    while waiting:
        for other in search[waiting.pop()].when or {}:
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def _spread(key: str, dimension: Dimension, *, only_ends: bool) -> list[Any]:
    """Values that stand for the dimension; of a range its ends."""
    if dimension.choices is None:
        ends = [dimension.low, dimension.high]
        values: list[Any] = [int(end or 0) for end in ends] if dimension.type == "int" else ends
        return values[1:] if key == _DROPOUT or values[0] == values[1] else values
    numbers: list[Any] = [choice for choice in dimension.choices if is_number(choice)]
    if only_ends and len(numbers) == len(dimension.choices) > 2:
        return [min(numbers), max(numbers)]
    return list(dimension.choices)


def _possible(values: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """`values` without those of dimensions that do not exist beside the others."""
    kept: dict[str, Any] = {}
    for key in values:
        if applies(space.search[key], kept):
            kept[key] = values[key]
    return kept


def _key(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)


def _values(among: Iterable[Planned], key: str) -> list[str]:
    return list(dict.fromkeys(str(one.values[key]) for one in among if key in one.values))


def _grouped(planned: Iterable[Planned]) -> Iterator[tuple[tuple[str, ...], list[Planned]]]:
    groups: dict[tuple[str, ...], list[Planned]] = {}
    for one in planned:
        groups.setdefault(one.room.measures, []).append(one)
    yield from groups.items()


def _has(one: Planned, key: str, choice: Choice) -> bool:
    return key in one.values and same(one.values[key], memory_values({key: choice})[key])


def _has_any(one: Planned, trimmed: Mapping[str, Sequence[Choice]]) -> bool:
    return any(_has(one, key, choice) for key, choices in trimmed.items() for choice in choices)


class _Progress:
    """Shows how far the planning is, and nothing else of the child's."""

    def __init__(self, audience: Audience) -> None:
        self._audience = audience

    def say(self, line: str) -> None:
        self._audience.say(line)

    def progress(self, done: int, total: int, status: str) -> None:
        self._audience.progress(done, total, status)

    def interrupted(self) -> bool:
        return False
