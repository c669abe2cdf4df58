"""When a search is over: the study's budget, and what its trials so far say."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from optuna.trial import FrozenTrial, TrialState

from search.best import best_of
from search.marks import CARRIED
from search.space_file import Budget
from search.verdict import PLANNED

Reason = Literal["trials", "time", "target", "patience", "exhausted", "interrupted"]

#: trials that taught something, and count against the budget; a FAILed one is replaced
MEASURED = (TrialState.COMPLETE, TrialState.PRUNED)

#: trials that are over
FINISHED = (*MEASURED, TrialState.FAIL)

#: why no further trial is begun, for a person; what needs no words is not here
WORDS: dict[Reason, str] = {
    "target": "A trial has reached the target: no further one is begun",
    "patience": "No better trial for as many as budget.patience says: no further one is begun",
    "time": "The time is used up: no further trial is begun",
    "exhausted": "The sampler has nothing left to suggest",
}


@dataclass(frozen=True)
class Tally:
    """Trials counted against a budget.

    FAILed ones, which say nothing about their values, are replaced; CARRIED ones were paid for by another
    study; those in the queue have not begun. planned: of the charged ones those that the card cannot hold.
    """

    charged: int = 0
    planned: int = 0

    def with_more(self, trials: Iterable[FrozenTrial]) -> Tally:
        """These counted as well."""
        charged = [
            trial
            for trial in trials
            if trial.state not in (TrialState.FAIL, TrialState.WAITING) and CARRIED not in trial.user_attrs
        ]
        planned = sum(PLANNED in trial.user_attrs for trial in charged)
        return Tally(self.charged + len(charged), self.planned + planned)


def is_enough(taken: Tally, budget: Budget) -> bool:
    """Are the trials of the budget all taken? As many as it has are free, where the card cannot hold them."""
    if budget.trials is None:
        return False
    return taken.charged - min(budget.trials, taken.planned) >= budget.trials


class Standing:
    """What the trials that have ended say so far; they are added one by one, in any order."""

    def __init__(self) -> None:
        self.best: FrozenTrial | None = None
        #: numbers of the measured trials, ascending
        self._measured: list[int] = []

    def add(self, trial: FrozenTrial) -> None:
        """Take in a trial that has ended."""
        if trial.state == TrialState.COMPLETE:
            self.best = best_of([trial] if self.best is None else [self.best, trial])
        if trial.state in MEASURED and not {PLANNED, CARRIED} & trial.user_attrs.keys():
            insort(self._measured, trial.number)

    def reason(self, budget: Budget) -> Reason | None:
        """Why further trials are needless; None: they are not.

        patience counts, by their numbers, the measured trials after the best one.
        """
        if self.best is None:
            return None
        if budget.target is not None and (self.best.value or 0.0) >= budget.target:
            return "target"
        later = len(self._measured) - bisect_right(self._measured, self.best.number)
        return "patience" if budget.patience is not None and later >= budget.patience else None
