"""What came of a race: medians over its starts, with (least-greatest), and who was sooner by how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

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
    own = [course.reached(target) for course in results[first]]
    for name, courses in results.items():
        times = [course.reached(target) for course in courses]
        known = [time for time in times if time is not None]
        spread = f"in {len(known)} of {len(times)} starts"
        if len(known) == len(times):
            spread = f"{Spread.of(known):.0f}"
        ratios = [theirs / ours for ours, theirs in zip(own, times, strict=True) if ours and theirs]
        sooner = f"{first} {Spread.of(ratios):.2f} times as soon" if ratios and name != first else ""
        print(f"{name:24} {spread:24} {sooner}")


def _cell(courses: Sequence[Course], until_s: float) -> str:
    scores = [score for course in courses if (score := course.best(until_s)) is not None]
    return f"{Spread.of(scores):.4f}" if scores else "none"


def _ends(courses: Sequence[Course]) -> str:
    counts = Counter(end for course in courses for end in course.ends)
    counts["stopped on the way"] += sum(course.open for course in courses)
    found = [f"{count} {how}" for how, count in sorted(counts.items()) if count]
    return ", ".join(found) or "none"
