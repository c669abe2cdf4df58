"""The peak memory of a training step, known before it is run and without a GPU."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from trainer.memory.allocator import Allocator, Reserve
from trainer.memory.trace import NotAffine, RowLaw

if TYPE_CHECKING:
    from trainer.memory.card import CardSpec
    from trainer.memory.request import PlanRequest
    from trainer.memory.trace import Trace

MIB = 2**20

#: steps replayed through the allocator: cached blocks of one are reused, and cut up, by the next
STEPS = 3

#: micro-batches that a law is made from, and the one that checks it
LAW_ROWS = (2, 3, 5)

#: what the simulated reserve may be short by: fragmentation left over from batches of other lengths
MARGIN = 0.05
MIN_MARGIN_BYTES = 150 * MIB


@dataclass(frozen=True)
class Plan:
    """Planned peaks, in bytes.

    tensor_peak_bytes: what tensors hold, the hard floor. allocated_bytes: the allocator's blocks, with the
    cuBLAS workspaces (max_memory_allocated). flushed_bytes: the segments those lie in, when everything else
    has been flushed. peak_bytes: what the allocator reserves (max_memory_reserved). weights_bytes,
    gradients_bytes, optimizer_bytes: the part that does not grow with the micro-batch.
    """

    tensor_peak_bytes: int
    allocated_bytes: int
    flushed_bytes: int
    peak_bytes: int
    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int

    @property
    def fixed_bytes(self) -> int:
        """Weights, gradients and optimizer state."""
        return self.weights_bytes + self.gradients_bytes + self.optimizer_bytes

    @property
    def needed_bytes(self) -> int:
        """The limit a card should have: the reserve and a margin for what a plan cannot know."""
        return self.peak_bytes + max(MIN_MARGIN_BYTES, round(MARGIN * self.peak_bytes))

    def fits(self, card: CardSpec) -> bool:
        """True if `card` has room: a virtual one for tensors, a real one for the reserve and the margin."""
        return (self.tensor_peak_bytes if card.virtual else self.needed_bytes) <= card.limit_bytes

    def device_bytes(self, context_bytes: int) -> int:
        """What nvidia-smi would show on a card whose CUDA context takes `context_bytes`."""
        return self.peak_bytes + context_bytes


class Keeper(Protocol):
    """Where plans are kept."""

    def get(self, request: PlanRequest) -> Plan | None:
        """The one that was kept for `request`."""

    def put(self, request: PlanRequest, plan: Plan) -> None:
        """Keep it."""


class Planner:
    """Plans requests, each once: from the cache, from a law that is known already, or from a new trace."""

    def __init__(self, cache: Keeper | None = None) -> None:
        self._cache = cache
        self._laws: dict[PlanRequest, RowLaw | None] = {}

    def plan(self, request: PlanRequest) -> Plan:
        """The plan of `request`; traces one step if it has to."""
        found = self._cache.get(request) if self._cache else None
        if found is not None:
            return found
        law = self._laws.get(_family(request))
        if law is not None and request.rows >= LAW_ROWS[0]:
            return self._keep(request, law.trace(request.rows))
        return self._keep(request, _rehearse(request, [request.rows])[request.rows])

    def plans(self, request: PlanRequest, *, rows: Sequence[int]) -> dict[int, Plan]:
        """Plans of `request` at several micro-batches; three traces serve any number of them."""
        missing = [
            n for n in rows if self._cache is None or self._cache.get(replace(request, rows=n)) is None
        ]
        if len([n for n in missing if n >= LAW_ROWS[0]]) > len(LAW_ROWS):
            self.law(request)
        return {n: self.plan(replace(request, rows=n)) for n in rows}

    def largest_rows(self, request: PlanRequest, *, card: CardSpec, most: int = 1024) -> int:
        """The largest micro-batch, up to `most`, that fits `card`; 0: none."""
        self.law(request)

        def is_too_much(rows: int) -> bool:
            return not self.plan(replace(request, rows=rows)).fits(card)

        return bisect_left(range(1, most + 1), True, key=is_too_much)

    def law(self, request: PlanRequest) -> RowLaw | None:
        """How the trace of `request` follows from its rows; None where it follows no law."""
        family = _family(request)
        if family not in self._laws:
            self._laws[family] = self._law_of_a_relative(request) or _law(request)
        return self._laws[family]

    def _law_of_a_relative(self, request: PlanRequest) -> RowLaw | None:
        """From the law of the same step at another length, and one trace."""
        same = replace(_family(request), length=0)
        known = (law for family, law in self._laws.items() if law and replace(family, length=0) == same)
        relative = next(known, None)
        if relative is None:
            return None
        rows = LAW_ROWS[0]
        try:
            return relative.at_another_length(_rehearse(request, [rows])[rows])
        except NotAffine:
            return None

    def _keep(self, request: PlanRequest, trace: Trace) -> Plan:
        made = plan_of(request, trace)
        if self._cache is not None:
            self._cache.put(request, made)
        return made


def plan(request: PlanRequest) -> Plan:
    """Trace the step of `request` and replay it through the allocator."""
    return plan_of(request, _rehearse(request, [request.rows])[request.rows])


def plan_of(request: PlanRequest, trace: Trace) -> Plan:
    """The plan that follows from a trace of `request`."""
    reserve = replay(trace, request)
    return Plan(
        tensor_peak_bytes=trace.peak_bytes,
        allocated_bytes=reserve.allocated,
        flushed_bytes=reserve.pinned,
        peak_bytes=reserve.reserved,
        weights_bytes=trace.weights_bytes,
        gradients_bytes=trace.gradients_bytes,
        optimizer_bytes=trace.optimizer_bytes,
    )


def replay(trace: Trace, request: PlanRequest) -> Reserve:
    """Peaks of several steps like `trace` in a row; cuBLAS takes its workspaces in the first."""
    software = request.software
    allocator = Allocator(expandable=software.expandable)
    allocator.replay(trace.fixed)
    for number in range(STEPS):
        first = number == 0 and software.workspace_bytes > 0
        for thread, part in ((-1, trace.forward), (-2, trace.backward)):
            if first:
                allocator.allocate(thread, software.workspace_bytes)
            allocator.replay(part)
    return allocator.peaks()


def _law(request: PlanRequest) -> RowLaw | None:
    try:
        return RowLaw(_rehearse(request, LAW_ROWS))
    except NotAffine:
        return None


def _family(request: PlanRequest) -> PlanRequest:
    return replace(request, rows=0)


def _rehearse(request: PlanRequest, rows: Sequence[int]) -> dict[int, Trace]:
    # Importing torch and transformers takes seconds, which a cached plan need not wait for.
    from trainer.memory.rehearsal import rehearse_rows

    return rehearse_rows(request, rows=rows)
