"""The study's trials as one worker last saw them: counted and indexed as they end, and not looked at again.

A trial that has ended never changes; of those that have not, one that this worker holds changes by its own
hand. See docs/decisions/0042-one-look-at-a-trial.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, TrialState

from search.ending import Reason, Standing, Tally, is_enough
from search.objective import is_drawn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from search.study import StudyHandle


class Ledger:
    """Keeps what was read, and what this worker told since."""

    def __init__(self, handle: StudyHandle) -> None:
        self._handle = handle
        self._seen = 0
        self._ended: set[int] = set()
        self._open: dict[int, FrozenTrial] = {}
        self._tally = Tally()
        self._standing = Standing()
        self._by_values: dict[frozenset[tuple[str, Any]], list[int]] = defaultdict(list)

    def read(self) -> Sequence[FrozenTrial]:
        """All trials as they are stored now, in order of their numbers."""
        found = self._handle.trials()
        self._seen = len(found)
        for trial in found:
            self._note(trial)
        return found

    def put(self, trial: FrozenTrial) -> None:
        """Keep a trial that this worker has told."""
        self._note(trial)

    @property
    def running(self) -> list[FrozenTrial]:
        """The trials that run, whoever holds them, in order of their numbers."""
        running = [trial for trial in self._open.values() if trial.state == TrialState.RUNNING]
        return sorted(running, key=lambda trial: trial.number)

    @property
    def begun(self) -> int:
        """How many trials have left the queue."""
        return len(self._ended) + len(self.running)

    @property
    def best(self) -> FrozenTrial | None:
        """The best COMPLETE trial; of equals the earliest, which is the one that was trained."""
        return self._standing.best

    def is_enough(self) -> bool:
        """Are the trials of the budget all taken? Those that run count as well."""
        return is_enough(self._tally.with_more(self.running), self._handle.space.budget)

    def reason(self) -> Reason | None:
        """Why the trials that have ended make further ones needless; None: they do not."""
        return self._standing.reason(self._handle.space.budget)

    def look_before(self, number: int, *, mine: AbstractSet[int]) -> None:
        """Read again if a trial before `number` may have changed since. mine: what this worker holds."""
        before = [one for one in self._open if one < number]
        if self._seen < number or not all(self._is_settled(one, mine=mine) for one in before):
            self.read()

    def alike(self, number: int, params: Mapping[str, Any]) -> list[FrozenTrial]:
        """The trials with the values of trial `number`: those that have ended, and those before it that run.

        One that has not drawn all its values yet may come to have these: it is among them.
        """
        ended = [one for one in self._by_values.get(_values(params), ()) if one != number]
        running = [one for one in self.running if one.number < number and self._may_come_to(one, params)]
        return [*map(self._handle.trial, sorted(ended)), *running]

    def is_drawn(self, trial: FrozenTrial) -> bool:
        """Has the trial all its values?"""
        return is_drawn(trial.params, self._handle.space)

    def _may_come_to(self, trial: FrozenTrial, params: Mapping[str, Any]) -> bool:
        if self.is_drawn(trial):
            return trial.params == params
        return trial.params.items() <= params.items()

    def _is_settled(self, number: int, *, mine: AbstractSet[int]) -> bool:
        return number in mine and self.is_drawn(self._open[number])

    def _note(self, trial: FrozenTrial) -> None:
        """Each trial that has ended once, however often it is read and put."""
        if trial.number in self._ended:
            return
        if not trial.state.is_finished():
            self._open[trial.number] = trial
            return
        self._open.pop(trial.number, None)
        self._ended.add(trial.number)
        self._tally = self._tally.with_more([trial])
        self._standing.add(trial)
        self._by_values[_values(trial.params)].append(trial.number)


def _values(params: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    return frozenset(params.items())
