"""What a study is told of a trial, and what it has been told so far."""

from __future__ import annotations

from collections import Counter
from itertools import count, islice
from typing import TYPE_CHECKING

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from search.storage.gathering import together
from search.verdict import repeat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from search.study import StudyHandle
    from search.verdict import Verdict

#: user attribute: which training of its values a trial is, where there are several
REPEAT = "repeat"


class ToldAlready(Exception):
    """The trial has ended, by another worker's word; that one counts."""


def tell(handle: StudyHandle, trial: Trial, verdict: Verdict) -> FrozenTrial:
    """Write a verdict into the study: reports, constraints, few and short attributes, the state.

    It is stored as a whole, where the storage can do that. The trial as it is stored then.

    Raises:
        ToldAlready: another worker was quicker, who had the trial while this one was thought to be gone, or
            after that.
    """
    try:
        return _told(handle, trial, verdict)
    except UpdateFinishedTrialError as error:
        raise ToldAlready from error


def _told(handle: StudyHandle, trial: Trial, verdict: Verdict) -> FrozenTrial:
    storage = handle.study._storage
    with together(storage):
        # One trial is read, not all of them: the cost of telling must not grow with the study.
        stored = storage.get_trial(trial._trial_id)
        if stored.state.is_finished():
            raise ToldAlready
        for step, value in verdict.intermediate.items():
            if step not in stored.intermediate_values:
                trial.report(value, step)
        for key, violation in verdict.constraints.items():
            # A worker that died while telling may have set it; the first value of a key stays.
            if key not in stored.constraints:
                trial.set_constraint(key, violation)
        for key, value in verdict.attributes().items():
            trial.set_user_attr(key, value)
        return handle.study.tell(trial, verdict.value, state=verdict.state)


def count_states(handle: StudyHandle) -> dict[str, int]:
    """Trials of the study by state, lower case; states without trials are left out."""
    return dict(Counter(trial.state.name.lower() for trial in handle.trials()))


def twin(alike: Iterable[FrozenTrial], *, repeats: int) -> Verdict | int | None:
    """Whether a trial needs no further training; `alike`: those that have its values, or may come to.

    A verdict: they were trained `repeats` times, and this is what came of it the first time. A number: that
    many times they are trained now or were before, and one is still running: wait. None: train.
    """
    alike = list(alike)
    told = [verdict for verdict in map(repeat, alike) if verdict is not None]
    if len(told) >= repeats:
        return told[0]
    running = sum(one.state == TrialState.RUNNING for one in alike)
    return running if running and len(told) + running >= repeats else None


def repeat_index(trial: Trial, *, alike: Callable[[], Iterable[FrozenTrial]]) -> int:
    """Which training of its values a trial is, from 0; kept with the trial, for its later attempts."""
    known = trial.user_attrs.get(REPEAT)
    if known is None:
        known = _first_free(one for one in alike() if one.state != TrialState.FAIL)
        trial.set_user_attr(REPEAT, known)
    return int(known)


def _first_free(others: Iterable[FrozenTrial]) -> int:
    """The smallest index that no other has, once those without one have taken theirs."""
    taken = [one.user_attrs.get(REPEAT) for one in others]
    free = (index for index in count() if index not in taken)
    return next(islice(free, taken.count(None), None))
