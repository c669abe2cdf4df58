"""Whose a trial is: taking one that nobody has, or one whose owner is gone.

A trial belongs to whoever holds the lock in its directory; the operating system releases it when its
holder dies, however it dies. Counting the trials and taking one happens under a lock of the study.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, Trial, TrialState

from search.aside import holds_work, move_aside
from search.engine.local import await_orphan
from search.study import StudyHandle
from search.verdict import PLANNED
from trainer import UserError

#: held by the worker for as long as it works on the trial
TRIAL_LOCK = ".worker.lock"
#: held while a worker counts the trials and takes one
STUDY_LOCK = ".study.lock"


def trial_directory(directory: Path, number: int) -> Path:
    """`studies/NAME/trial-0007`, below `studies/NAME`."""
    return directory / f"trial-{number:04d}"


@dataclass(frozen=True)
class Claim:
    """A trial of one's own, until it is released. As a context: releases it on the way out."""

    trial: Trial
    lock: FileLock

    def release(self) -> None:
        """Let others have it."""
        self.lock.release()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Ownership:
    """Takes trials of one study for one worker, which may hold several."""

    def __init__(self, handle: StudyHandle, directory: Path, *, say: Callable[[str], None]) -> None:
        """`directory`: parent of the trials' directories."""
        self._handle = handle
        self._directory = directory
        self._say = say

    def take(self) -> Claim | None:
        """A trial of one's own: one that was left running, or a new one; None when there are enough.

        Raises:
            UserError: the directory of the new trial is in use by another study.
        """
        with FileLock(self._directory / STUDY_LOCK):
            return self._take_over() or self._take_new()

    def _take_over(self) -> Claim | None:
        for left in self._handle.trials(TrialState.RUNNING):
            lock = self._lock(left.number)
            if lock is None:
                continue
            # It may have ended between the look and the lock.
            if self._handle.trial(left.number).state == TrialState.RUNNING:
                self._handle.seed_sampler(left.number)
                return Claim(self._handle.reattach(left.number), lock)
            lock.release()
        return None

    def _take_new(self) -> Claim | None:
        taken = [trial for trial in self._handle.trials() if trial.state != TrialState.WAITING]
        if self._is_enough(taken):
            return None
        self._handle.seed_sampler(len(taken))
        trial = self._handle.study.ask()
        return Claim(trial, self._lock_anew(trial.number))

    def _is_enough(self, taken: list[FrozenTrial]) -> bool:
        """Trials that the card cannot hold cost nothing: as many as the budget has are free."""
        limit = self._handle.space.budget.trials
        if limit is None:
            return False
        free = min(limit, sum(PLANNED in trial.user_attrs for trial in taken))
        return len(taken) - free >= limit

    def _lock_anew(self, number: int) -> FileLock:
        """The lock on a trial that no worker had before: what lies in its directory is another study's."""
        directory = trial_directory(self._directory, number)
        lock = self._lock(number)
        if lock is not None and holds_work(directory):
            await_orphan(directory)
            lock.release()
            moved = move_aside(directory, name=f"{directory.name}-of-an-earlier-study")
            self._say(f"Moved aside what an earlier study left: {moved}")
            lock = self._lock(number)
        if lock is None:
            raise UserError(
                f"{directory} is in use by another study; give this study another name or directory"
            )
        return lock

    def _lock(self, number: int) -> FileLock | None:
        """The lock on a trial, or None if a living worker holds it."""
        directory = trial_directory(self._directory, number)
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / TRIAL_LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return None
        return lock
