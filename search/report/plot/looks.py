"""How trials look in every chart: the kind of a mark, its title, the legend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from search.report.facts import COMPLETE, PRUNED, StudyFacts, TrialFacts
from search.report.plot.chart import Mark
from search.report.words import Words
from search.values import short

#: trials above which single marks carry no title: the page stays small, and the table has them all
_MOST_TITLES = 400

Titled = Callable[[TrialFacts], str]


def kind_of(trial: TrialFacts) -> str:
    """complete, pruned, or other."""
    return trial.state if trial.state in (COMPLETE, PRUNED) else "other"


def titles(facts: StudyFacts, words: Words) -> Titled:
    """What is said of a trial's mark when it is pointed at."""
    if len(facts.trials) > _MOST_TITLES:
        return lambda trial: ""
    return lambda trial: words(
        "trial.tip", number=trial.number, value=short(trial.last), state=words(f"state.{trial.state}")
    )


def by_kind(marks: Iterable[Mark]) -> tuple[Mark, ...]:
    """Marks of what matters drawn last, so that nothing lies on top of them."""
    order = ["limit", "stem", "other", "pruned", "complete", "planned", "measured", "best"]
    return tuple(sorted(marks, key=lambda mark: order.index(mark.kind.split()[0])))


def legend(marks: Sequence[Mark], words: Words, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """(kind, words) of the trials there are among `marks`, and `more`."""
    kinds = {mark.kind.split()[0] for mark in marks}
    known = [
        (kind, words(f"legend.{kind}")) for kind in ("best", "complete", "pruned", "other") if kind in kinds
    ]
    return (*known, *more)
