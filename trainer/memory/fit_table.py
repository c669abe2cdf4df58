"""What fits a card: planned peaks over sequence length and micro-batch, each with the measure it takes."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trainer.memory.plan import LAW_ROWS, Planner
from trainer.memory.request import IN_HOST_MEMORY

if TYPE_CHECKING:
    from trainer.config.schema import Checkpointing
    from trainer.memory.card import CardSpec
    from trainer.memory.plan import Plan
    from trainer.memory.plan_cache import PlanCache
    from trainer.memory.request import PlanRequest

#: the largest micro-batch is looked for up to here
MOST_ROWS = 1024

#: `FitQuestion.accumulates_below` when every micro-batch is one of several, and when none is
ALWAYS = sys.maxsize
NEVER = 0

#: micro-batches whose difference is the growth per example: far above the floor under which nothing grows
_GROWTH_ROWS = (256, 512)


@dataclass(frozen=True)
class Way:
    """A way to train that changes no result; offload: optimizer state in host memory."""

    checkpointing: Checkpointing = False
    offload: bool = False

    @property
    def measures(self) -> tuple[str, ...]:
        """What it takes, in words."""
        name = {False: "", True: "gradient checkpointing", "selective": "selective gradient checkpointing"}
        words = (name[self.checkpointing], "optimizer state in host memory" if self.offload else "")
        return tuple(word for word in words if word)


PLAIN = Way()
SELECTIVE = Way("selective")
CHECKPOINTED = Way(True)
OFFLOADED = Way(True, offload=True)


@dataclass(frozen=True)
class FitQuestion:
    """What is asked; of `request`, rows, length, checkpointing and accumulated are set for each cell.

    ways: in order of preference. rescue: tried at lengths where no micro-batch fits in any of them.
    accumulates_below: micro-batches smaller than this are one of several to an optimizer step.
    calibration: measured over planned peak of earlier runs on this card. notes: what is taken for granted.
    """

    request: PlanRequest
    card: CardSpec
    lengths: tuple[int, ...]
    batches: tuple[int, ...]
    ways: tuple[Way, ...] = (PLAIN, SELECTIVE, CHECKPOINTED)
    rescue: Way | None = None
    accumulates_below: int = NEVER
    calibration: float = 1.0
    notes: tuple[str, ...] = ()

    def request_at(self, length: int, *, rows: int, way: Way) -> PlanRequest:
        """The request behind one cell."""
        return replace(
            self.request,
            rows=rows,
            length=length,
            checkpointing=way.checkpointing,
            accumulated=rows < self.accumulates_below,
            optimizer=IN_HOST_MEMORY[self.request.optimizer] if way.offload else self.request.optimizer,
        )

    def fits(self, plan: Plan) -> bool:
        """True if the card has room for `plan`, its margin and what earlier runs took beyond their plans."""
        return round(plan.needed_bytes * self.calibration) <= self.card.limit_bytes


@dataclass(frozen=True)
class Cell:
    """One sequence length and micro-batch: the first way that fits, or the one that needs least."""

    request: PlanRequest
    way: Way
    plan: Plan
    fits: bool
    measures: tuple[str, ...]


@dataclass(frozen=True)
class Reach:
    """How far one way goes at one length: largest micro-batch (0: none), bytes each more example takes."""

    way: Way
    largest: int
    bytes_per_row: int


@dataclass(frozen=True)
class FitTable:
    """What fits, cell by cell. reach: for each length the ways a person chooses between."""

    question: FitQuestion
    cells: tuple[Cell, ...]
    reach: dict[int, tuple[Reach, ...]]

    def cell(self, length: int, rows: int) -> Cell:
        """The cell of one length and micro-batch."""
        return next(cell for cell in self.cells if (cell.request.length, cell.request.rows) == (length, rows))

    def to_json(self) -> list[dict[str, Any]]:
        """One row per cell; sizes in bytes."""
        return [_row(cell, self.question.card) for cell in self.cells]


def fit_table(question: FitQuestion, *, cache: PlanCache, progress: Callable[[str], None]) -> FitTable:
    """Plan every cell of `question`; `progress` is told what is about to be traced, which takes seconds."""
    plans = _Plans(question, cache, progress)
    cells, reach = [], {}
    for length in question.lengths:
        ways = [*question.ways]
        # Selective checkpointing lies between the other two and is not worth a column of its own.
        compared = [way for way in ways if way.checkpointing != "selective" or len(ways) == 1]
        found = [plans.reach(length, way) for way in compared]
        if question.rescue is not None and not any(one.largest for one in found):
            ways = [question.rescue]  # nothing else fits, so nothing else need be looked at
            found.append(plans.reach(length, question.rescue))
        cells += [plans.cell(length, rows=rows, ways=ways) for rows in question.batches]
        reach[length] = tuple(found)
    return FitTable(question, tuple(cells), reach)


class _Plans:
    """Plans of one question, from the cache or from the law of their family."""

    def __init__(self, question: FitQuestion, cache: PlanCache, progress: Callable[[str], None]) -> None:
        self._question = question
        self._cache = cache
        self._progress = progress
        self._planner = Planner(cache)
        self._told: set[str] = set()

    def cell(self, length: int, *, rows: int, ways: Sequence[Way]) -> Cell:
        """The first of `ways` that fits, else the last."""
        for way in ways:
            plan = self._plan(length, rows, way)
            if fits := self._question.fits(plan):
                break
        measures = tuple(name for name in way.measures if name not in self._question.ways[0].measures)
        return Cell(self._question.request_at(length, rows=rows, way=way), way, plan, fits, measures)

    def reach(self, length: int, way: Way) -> Reach:
        """Largest micro-batch and growth."""
        low, high = (self._plan(length, rows, way).tensor_peak_bytes for rows in _GROWTH_ROWS)
        growth = (high - low) // (_GROWTH_ROWS[1] - _GROWTH_ROWS[0])
        return Reach(way, self._largest(length, way), growth)

    def _largest(self, length: int, way: Way) -> int:
        """By halves, above the step from several micro-batches to one if that still fits, else below it."""
        step = max(1, self._question.accumulates_below)
        above = step <= MOST_ROWS and self._fits(length, step, way)
        low, high = (step, MOST_ROWS) if above else (0, min(step - 1, MOST_ROWS))
        return low + bisect_left(
            range(low + 1, high + 1), True, key=lambda rows: not self._fits(length, rows, way)
        )

    def _fits(self, length: int, rows: int, way: Way) -> bool:
        return self._question.fits(self._plan(length, rows, way))

    def _plan(self, length: int, rows: int, way: Way) -> Plan:
        request = self._question.request_at(length, rows=rows, way=way)
        if self._cache.get(request) is None:
            self._tell(request, way)
            if rows >= LAW_ROWS[0]:
                self._planner.law(request)
        return self._planner.plan(request)

    def _tell(self, request: PlanRequest, way: Way) -> None:
        more = [*way.measures, *(["accumulating"] if request.accumulated else [])]
        line = f"Planning {request.length} tokens{''.join(f', {word}' for word in more)}"
        if line not in self._told:
            self._told.add(line)
            self._progress(line)


def ways_of(asked: Checkpointing) -> tuple[Way, ...]:
    """The ways from checkpointing as `asked` down to what needs least."""
    ways = (PLAIN, SELECTIVE, CHECKPOINTED)
    return ways[[way.checkpointing for way in ways].index(asked) :]


def _row(cell: Cell, card: CardSpec) -> dict[str, Any]:
    request, plan = cell.request, cell.plan
    return {
        "max_sequence_length": request.length,
        "micro_batch": request.rows,
        "precision": request.precision,
        "optimizer": request.optimizer,
        "attention": request.attention,
        "checkpointing": request.checkpointing,
        "tensor_peak_bytes": plan.tensor_peak_bytes,
        "peak_bytes": plan.peak_bytes,
        "device_bytes": plan.device_bytes(card.reserved_bytes),
        "limit_bytes": card.limit_bytes,
        "fits": cell.fits,
        "measures": list(cell.measures),
    }
