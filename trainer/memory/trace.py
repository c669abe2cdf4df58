"""What one training step allocates and frees, and how that follows from the rows of its micro-batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, groupby

from trainer.memory.allocator import Change, rounded


@dataclass(frozen=True)
class Trace:
    """Allocations and frees of one step, in order; sizes in bytes, not rounded.

    fixed: what comes before the step: weights, then optimizer state, or (not primed) the first step, which
    makes that state. forward, backward: the step up to its first backward, and the rest. Frees are negative.
    """

    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    fixed: tuple[Change, ...]
    forward: tuple[Change, ...]
    backward: tuple[Change, ...]

    @cached_property
    def peak_bytes(self) -> int:
        """The most that tensors hold at once, building the optimizer's state included."""
        return max(accumulate(_blocks(size) for _, size in self.changes()))

    def changes(self) -> Iterator[Change]:
        """All of it, in order."""
        return chain(self.fixed, self.forward, self.backward)


class NotAffine(Exception):
    """Traces of three micro-batches do not lie on one line: each size has to be traced by itself."""


class RowLaw:
    """Traces of any number of rows from those of a few.

    Every tensor of a step is affine in the rows of the micro-batch, so two traces give every size, and a
    third proves it. From two rows up: with one, an expanded tensor needs no copy.
    """

    def __init__(self, traces: dict[int, Trace]) -> None:
        """`traces`: rows -> trace, at least three.

        Raises:
            NotAffine: they do not follow one law.
        """
        low, high, *checks = sorted(traces)
        self._low, self._first = low, traces[low]
        self._slopes = {
            part: _slopes(getattr(traces[low], part), getattr(traces[high], part), high - low)
            for part in ("fixed", "forward", "backward")
        }
        for rows in checks:
            if self.trace(rows) != traces[rows]:
                raise NotAffine(f"the trace of {rows} rows does not follow from those of {low} and {high}")

    def at_another_length(self, first: Trace) -> RowLaw:
        """The law of the same step at another length, from one trace there of as many rows as the first.

        A tensor either has a row for every row of the micro-batch or does not depend on them; which of
        the two it is does not depend on the length.

        Raises:
            NotAffine: the step is another there, or has a tensor that is neither.
        """
        law = object.__new__(RowLaw)
        law._low, law._first = self._low, first
        law._slopes = {
            part: [
                self._slope(here, slope, there)
                for here, slope, there in _pairs(getattr(self._first, part), slopes, getattr(first, part))
            ]
            for part, slopes in self._slopes.items()
        }
        return law

    def _slope(self, here: int, slope: int, there: int) -> int:
        if slope == 0:
            return 0
        if here != slope * self._low or there % self._low:
            raise NotAffine("a tensor grows with the micro-batch, but not in proportion")
        return there // self._low

    def trace(self, rows: int) -> Trace:
        """The trace of a micro-batch of `rows`."""
        first, more = self._first, rows - self._low
        parts = {
            part: tuple(
                (number, size + slope * more)
                for (number, size), slope in zip(getattr(first, part), slopes, strict=True)
            )
            for part, slopes in self._slopes.items()
        }
        return Trace(first.weights_bytes, first.gradients_bytes, first.optimizer_bytes, **parts)


def in_order(changes: Sequence[Change]) -> tuple[Change, ...]:
    """`changes` with frees that follow one another sorted.

    Which of several tensors that die together goes first depends on addresses; a trace must not.
    """
    runs = groupby(changes, key=lambda change: change[1] > 0)
    return tuple(chain.from_iterable(run if allocated else sorted(run) for allocated, run in runs))


def _slopes(low: Sequence[Change], high: Sequence[Change], rows: int) -> list[int]:
    """Bytes per row of every change."""
    if [number for number, _ in low] != [number for number, _ in high]:
        raise NotAffine("the micro-batch's size changes what is done")
    return [(after - before) // rows for (_, before), (_, after) in zip(low, high, strict=True)]


def _pairs(
    here: Sequence[Change], slopes: Sequence[int], there: Sequence[Change]
) -> Iterator[tuple[int, int, int]]:
    """Size here, bytes per row, size there, of every change."""
    if [number for number, _ in here] != [number for number, _ in there]:
        raise NotAffine("the length changes what is done")
    return zip((size for _, size in here), slopes, (size for _, size in there), strict=True)


def _blocks(size: int) -> int:
    return rounded(size) if size > 0 else -rounded(-size)
