"""When a search is over: the study's budget, and what its trials so far say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from optuna.trial import FrozenTrial, TrialState

from search.best import best_of
from search.space_file import Budget
from search.study import CARRIED
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


def is_enough(taken: Sequence[FrozenTrial], budget: Budget) -> bool:
    """Are the trials of the budget all taken? Those of `taken` that are running count as well.

    Trials that the card cannot hold cost nothing: as many as the budget has are free. FAILed ones, which say
    nothing about their values, are replaced; CARRIED ones were paid for by another study.
    """
    if budget.trials is None:
        return False
    counted = [
        trial
        for trial in taken
        if trial.state not in (TrialState.FAIL, TrialState.WAITING) and CARRIED not in trial.user_attrs
    ]
    free = min(budget.trials, sum(PLANNED in trial.user_attrs for trial in counted))
    return len(counted) - free >= budget.trials


def verdict_of(trials: Sequence[FrozenTrial], budget: Budget) -> Reason | None:
    """Why the trials that have ended make further ones needless; None: they do not.

    patience counts, by their numbers, the measured trials after the best one.
    """
    best = best_of(
        trial for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None
    )
    if best is None:
        return None
    if budget.target is not None and (best.value or 0.0) >= budget.target:
        return "target"
    if budget.patience is None:
        return None
    measured = [
        trial
        for trial in trials
        if trial.state in MEASURED and not {PLANNED, CARRIED} & trial.user_attrs.keys()
    ]
    later = sum(trial.number > best.number for trial in measured)
    return "patience" if later >= budget.patience else None
