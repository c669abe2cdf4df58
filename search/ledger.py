"""The study's trials as one worker last saw them: read anew only where another may have written since."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial, TrialState

from search.best import best_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from search.study import StudyHandle


class Ledger:
    """Keeps what was read, and what this worker told since. A trial that has ended never changes."""

    def __init__(self, handle: StudyHandle) -> None:
        self._handle = handle
        self._known: dict[int, FrozenTrial] = {}

    def read(self) -> Sequence[FrozenTrial]:
        """All trials as they are stored now, in order of their numbers."""
        found = self._handle.trials()
        self._known = {trial.number: trial for trial in found}
        return found

    def put(self, trial: FrozenTrial) -> None:
        """Keep a trial that this worker has told."""
        self._known[trial.number] = trial

    def before(self, number: int, *, mine: AbstractSet[int]) -> list[FrozenTrial]:
        """The trials before `number` as they are now.

        mine: trials that this worker holds; nobody else changes these.
        """
        known = [trial for trial in self._known.values() if trial.number < number]
        settled = all(trial.state.is_finished() or trial.number in mine for trial in known)
        if len(known) < number or not settled:
            known = [trial for trial in self.read() if trial.number < number]
        return known

    @property
    def best(self) -> FrozenTrial | None:
        """The best COMPLETE trial known; of equals the earliest, which is the one that was trained."""
        return best_of(trial for trial in self._known.values() if trial.state == TrialState.COMPLETE)
