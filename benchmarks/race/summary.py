"""What came of a race: medians over its starts, with (least-greatest), and who was sooner by how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from benchmarks.race.log import Course
from benchmarks.spread import Spread

Results = Mapping[str, Sequence[Course]]


def show(results: Results, *, targets: Sequence[float], seconds: float) -> None:
    """Print all tables.

    results: contender -> one course per seed, ours first. seconds: the time of a start.
    """
    for target in targets:
        print(f"\nseconds until macro-F1 {target:.3f} on validation")
        _print_times(results, target)
    # A search that had no more trials to run stopped early; after that, time is not equal.
    until = min(seconds, *(course.last_s for courses in results.values() for course in courses))
    print(f"\n{'best macro-F1':24} {f'after {until:.0f} s':24} at the end")
    for name, courses in results.items():
        print(f"{name:24} {_cell(courses, until):24} {_cell(courses, seconds)}")
    print(f"\n{'trials':24} all starts together")
    for name, courses in results.items():
        print(f"{name:24} {_ends(courses)}")


def _print_times(results: Results, target: float) -> None:
    first, *_ = results
    for name, courses in results.items():
        times = [course.reached(target) for course in courses]
        known = [time for time in times if time is not None]
        spread = f"in {len(known)} of {len(times)} starts"
        if len(known) == len(times):
            spread = f"{Spread.of(known):.0f}"
        ratios = list(_ratios(results[first], courses, target)) if name != first else []
        sooner = f"{first} {_spread(ratios)} times as soon" if ratios else ""
        print(f"{name:24} {spread:24} {sooner}")


def _ratios(ours: Sequence[Course], theirs: Sequence[Course], target: float) -> Iterator[tuple[float, str]]:
    """Their seconds over ours, start by start, and the sign before it where one of them never got there.

    That one counts with its last evaluation, so that the ratio is at least ("≥") or at most ("≤") this. A
    start in which neither got there says nothing.
    """
    for our, their in zip(ours, theirs, strict=True):
        own, other = our.reached(target), their.reached(target)
        sign = ("≥" if other is None else "") + ("≤" if own is None else "")
        if len(sign) < 2 and our.last_s and their.last_s:
            yield (other or their.last_s) / (own or our.last_s), sign


def _spread(ratios: Sequence[tuple[float, str]]) -> str:
    """Median (least-greatest); a bound on the far side of the median bounds the median too."""
    low, high = min(ratios), max(ratios)
    middle = median(ratio for ratio, _ in ratios)
    at_least = any(sign == "≥" and ratio <= middle for ratio, sign in ratios)
    at_most = any(sign == "≤" and ratio >= middle for ratio, sign in ratios)
    sign = "≥" * at_least + "≤" * at_most
    return f"{sign}{middle:.2f} ({low[1]}{low[0]:.2f}-{high[1]}{high[0]:.2f})"


def _cell(courses: Sequence[Course], until_s: float) -> str:
    scores = [score for course in courses if (score := course.best(until_s)) is not None]
    return f"{Spread.of(scores):.4f}" if scores else "none"


def _ends(courses: Sequence[Course]) -> str:
    counts = Counter(end for course in courses for end in course.ends)
    counts["stopped on the way"] += sum(course.open for course in courses)
    found = [f"{count} {how}" for how, count in sorted(counts.items()) if count]
    return ", ".join(found) or "none"
