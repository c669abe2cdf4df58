"""Candidates ranked by their means over fresh seeds, with intervals, ties and luck.

The deviation is pooled over the candidates: with three seeds each, one candidate's own deviation rests on two
degrees of freedom and its interval would be four times as wide as needed. The assumption is that seeds
scatter the candidates alike, which near neighbours in a search space do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from search.finish.confirmation import Candidate, Confirmation
from trainer import Interval

LEVEL = 0.95
#: a tied candidate is called cheaper when it needs at most this share of the winner's memory or time
_CHEAPER = 0.9
_MIB = 2**20


@dataclass(frozen=True)
class _Spread:
    """Deviation of a value between seeds, its degrees of freedom, and the candidates it is pooled over."""

    deviation: float
    freedom: int
    candidates: int

    @property
    def method(self) -> str:
        return (
            f"Student's t, df = {self.freedom}, "
            f"deviation between seeds pooled over {self.candidates} candidates"
        )

    def half(self, variance: float) -> float:
        """Half the width of the interval of something with this multiple of a run's variance."""
        from scipy.stats import t

        return float(t.ppf((1 + LEVEL) / 2, self.freedom)) * self.deviation * math.sqrt(variance)


def ranked(candidates: Sequence[Candidate], *, seeds: list[int]) -> Confirmation:
    """The candidates by their means, best first; one without a completed run comes last.

    Where no run completed at all the search's best stays chosen, without a mean.
    """
    spread = _pooled(candidates)
    described = [_described(candidate, spread) for candidate in candidates]
    order = sorted(described, key=lambda one: (one.mean is None, -(one.mean.value if one.mean else 0.0)))
    first = order[0]
    tied = [replace(one, tied=_is_tied(one, first, spread)) for one in order]
    best_of_search = max(described, key=lambda one: (one.search_value, -one.trial))
    cheaper, reason = _cheaper(tied)
    return Confirmation(
        seeds=seeds,
        chosen=first.trial,
        candidates=tied,
        luck=best_of_search.luck,
        cheaper=cheaper,
        cheaper_reason=reason,
        tie_rule=_tie_rule(spread),
    )


def _values(candidate: Candidate) -> list[float]:
    return [run.value for run in candidate.runs if run.value is not None]


def _pooled(candidates: Sequence[Candidate]) -> _Spread | None:
    """None where no candidate completed on two seeds."""
    groups = [values for values in map(_values, candidates) if len(values) > 1]
    freedom = sum(len(values) - 1 for values in groups)
    if not freedom:
        return None
    squares = sum((len(values) - 1) * stdev(values) ** 2 for values in groups)
    return _Spread(math.sqrt(squares / freedom), freedom, len(groups))


def _described(candidate: Candidate, spread: _Spread | None) -> Candidate:
    values = _values(candidate)
    peaks = [run.predicted_peak_bytes for run in candidate.runs if run.predicted_peak_bytes is not None]
    known = replace(
        candidate,
        seconds=fmean(run.seconds for run in candidate.runs) if candidate.runs else 0.0,
        predicted_peak_bytes=max(peaks, default=None),
    )
    if not values:
        return known
    mean = fmean(values)
    return replace(
        known,
        mean=_interval(mean, len(values), spread),
        deviation=stdev(values) if len(values) > 1 else None,
        luck=candidate.search_value - mean,
    )


def _interval(mean: float, runs: int, spread: _Spread | None) -> Interval:
    if spread is None:
        return Interval(mean, method="one seed: nothing is known of the spread")
    half = spread.half(1 / runs)
    return Interval(mean, mean - half, mean + half, LEVEL, spread.method)


def _is_tied(one: Candidate, first: Candidate, spread: _Spread | None) -> bool:
    """Whether `one` cannot be told from the first; the first itself is not tied with itself."""
    if one is first or spread is None or one.mean is None or first.mean is None:
        return False
    variance = 1 / len(_values(one)) + 1 / len(_values(first))
    return first.mean.value - one.mean.value <= spread.half(variance)


def _tie_rule(spread: _Spread | None) -> str:
    if spread is None:
        return "no ties are called: one seed says nothing of the spread"
    return f"tied: a difference of means within its own 95% interval ({spread.method})"


def _cheaper(order: Sequence[Candidate]) -> tuple[int | None, str]:
    """The tied candidate that needs clearly less memory, or else less time, and why; None: there is none."""
    first, tied = order[0], [one for one in order[1:] if one.tied]
    sized = [one for one in tied if one.predicted_peak_bytes is not None]
    if sized and first.predicted_peak_bytes:
        small = min(sized, key=lambda one: one.predicted_peak_bytes or 0)
        peak = small.predicted_peak_bytes or 0
        if peak <= _CHEAPER * first.predicted_peak_bytes:
            ours = first.predicted_peak_bytes / _MIB
            return small.trial, f"planned peak {peak / _MIB:.0f} in place of {ours:.0f} MiB"
    quick = min(tied, key=lambda one: one.seconds, default=None)
    if quick is not None and quick.seconds <= _CHEAPER * first.seconds:
        return quick.trial, f"{quick.seconds:.0f} s a run in place of {first.seconds:.0f} s"
    return None, ""
