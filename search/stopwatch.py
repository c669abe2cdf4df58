"""For how long a study was searched, whoever did it: what its time budget is measured against.

Workers share no clock. Each counts on from what is stored, by its own clock, and stores the longer of the
two: workers side by side count once, a restart goes on where the last one ended, and no clock that can be set
is read.
"""

from __future__ import annotations

from collections.abc import Callable

from search.study import StudyHandle

#: system attribute of a study: seconds
SEARCHED_S = "cp_search:searched_s"
#: between two notes at the ends of trials: many short trials are no reason to write more often
NOTE_S = 10.0


class Stopwatch:
    """Runs from when it is made, on top of what earlier workers stored."""

    def __init__(self, handle: StudyHandle, *, clock: Callable[[], float]) -> None:
        """`clock`: seconds that only go forward."""
        self._storage = handle.study._storage
        self._study_id = handle.study._study_id
        self._clock = clock
        self._before_s = self._stored_s()
        self._since = clock()

    def elapsed_s(self) -> float:
        """Seconds for which the study was searched."""
        return self._before_s + self._clock() - self._since

    def note(self) -> None:
        """Store it.

        Two that do so in the same moment may leave the shorter time, until one of them stores again.
        """
        now = self._clock()
        self._before_s = max(self._before_s + now - self._since, self._stored_s())
        self._since = now
        self._storage.set_study_system_attr(self._study_id, SEARCHED_S, round(self._before_s, 3))

    def note_now_and_then(self) -> None:
        """Store it, unless that was done within the last `NOTE_S` seconds."""
        if self._clock() - self._since >= NOTE_S:
            self.note()

    def _stored_s(self) -> float:
        return float(self._storage.get_study_system_attrs(self._study_id).get(SEARCHED_S, 0.0))
