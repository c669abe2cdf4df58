"""Whose a trial is: taking one that nobody has, or one whose owner is gone.

On one machine a trial belongs to whoever holds the lock in its directory; the operating system releases it
when its holder dies, however it dies. Counting the trials and taking one happens under a lock of the study. A
storage that other machines reach has a mark beside, see `heart`.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from optuna.trial import Trial, TrialState

from search.aside import holds_work, move_aside
from search.ending import Tally, is_enough
from search.engine.local import await_orphan
from search.heart import Heart, mark_of
from search.interruption import Asked
from search.ledger import Ledger
from search.locks import is_held
from search.storage.url import is_local
from search.study import StudyHandle
from trainer import UserError, write_text

#: held by the worker for as long as it works on the trial
TRIAL_LOCK = ".worker.lock"
#: in a trial's directory from before its first work: the identity of its study
STUDY_MARK = ".study"
#: held while a worker counts the trials and takes one
STUDY_LOCK = ".study.lock"


def trial_directory(directory: Path, number: int) -> Path:
    """`studies/NAME/trial-0007`, below `studies/NAME`."""
    return directory / f"trial-{number:04d}"


@dataclass(frozen=True)
class Claim:
    """A trial of one's own, until it is released. As a context: releases it on the way out.

    heart: what keeps it one's own between machines; None where the lock is enough.
    """

    trial: Trial
    lock: FileLock
    heart: Heart | None = None

    @property
    def lost(self) -> bool:
        """Did another worker take it over meanwhile? Its result is theirs then."""
        return self.heart is not None and self.heart.lost(self.trial.number)

    def or_lost(self, stop: Asked) -> Asked:
        """Asked to stop when `stop` is, and when the trial is lost."""
        return _StopOrLost(self, stop)

    @property
    def number(self) -> int:
        """The trial's number."""
        return self.trial.number

    def release(self) -> None:
        """Let others have it."""
        try:
            if self.heart is not None:
                self.heart.let_go(self.trial.number)
        finally:
            self.lock.release()

    def drop(self) -> None:
        """Let others have it without a word to the storage: they find its owner gone."""
        self.lock.release()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@dataclass(frozen=True)
class _StopOrLost:
    claim: Claim
    stop: Asked

    @property
    def asked(self) -> bool:
        return self.stop.asked or self.claim.lost


class Ownership:
    """Takes trials of one study for one worker, which may hold several. As a context: beats meanwhile."""

    def __init__(
        self,
        handle: StudyHandle,
        directory: Path,
        *,
        say: Callable[[str], None],
        heart: Heart | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """`directory`: parent of the trials' directories. `heart`: None makes one if the storage needs it.

        `ledger`: of a worker that keeps the study's trials.
        """
        self._handle = handle
        self._directory = directory
        self._say = say
        self._ledger = ledger or Ledger(handle)
        self._heart = heart or (None if is_local(handle.storage_url) else Heart(handle))

    def __enter__(self) -> Ownership:
        if self._heart is not None:
            self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._heart is not None:
            self._heart.stop()

    def take(self, *, new: Callable[[], bool] = lambda: True) -> Claim | None:
        """A trial of one's own: one that was left running or, if wanted, a new one; None if there is none.

        `new`: asked once the trials were read, while nobody else on this machine takes one.

        Raises:
            UserError: the directory of the new trial is in use by another study.
        """
        with FileLock(self._directory / STUDY_LOCK):
            self._ledger.read()
            return self._take_over() or (self._take_new() if new() else None)

    def others_run(self, *, mine: AbstractSet[int]) -> bool:
        """Does another worker hold a trial in this directory? As last read; mine: what this one holds."""
        others = [trial.number for trial in self._ledger.running if trial.number not in mine]
        with FileLock(self._directory / STUDY_LOCK):
            return any(is_held(trial_directory(self._directory, number) / TRIAL_LOCK) for number in others)

    def _take_over(self) -> Claim | None:
        for left in self._ledger.running:
            if self._heart is not None and not self._heart.is_gone(left.number, mark_of(left)):
                continue
            lock = self._lock(left.number)
            if lock is None:
                continue
            if self._is_left(left.number):
                self._handle.seed_sampler(left.number)
                if self._is_foreign(left.number):
                    lock = self._cleared(left.number, lock)
                return Claim(self._handle.reattach(left.number), lock, self._heart)
            lock.release()
        return None

    def _is_foreign(self, number: int) -> bool:
        """Is what lies in the trial's directory another study's: one of this name that is no more?"""
        mark = trial_directory(self._directory, number) / STUDY_MARK
        found = mark.read_text(encoding="ascii") if mark.exists() else ""
        return found != self._handle.identity and self._handle.identity != ""

    def _is_left(self, number: int) -> bool:
        """It may have ended between the look and the lock, or been taken on another machine."""
        if self._heart is not None:
            return self._heart.seize(number)
        return self._handle.trial(number).state == TrialState.RUNNING

    def _take_new(self) -> Claim | None:
        if self._ledger.is_enough():
            return None
        begun = self._ledger.begun
        self._handle.seed_sampler(begun)
        trial = self._handle.study.ask()
        if self._heart is not None:
            self._heart.hold(trial.number)
            if self._is_one_too_many(trial):
                self._heart.let_go(trial.number)
                return None
            if trial.number != begun:
                # Another machine asked at the same moment, with the same seed.
                self._handle.seed_sampler(trial.number)
                trial = self._handle.reattach(trial.number)
        return Claim(trial, self._cleared(trial.number, self._lock(trial.number)), self._heart)

    def _is_one_too_many(self, trial: Trial) -> bool:
        """Two machines that counted at once: whose trial has the higher number puts it back in the queue."""
        now = self._ledger.read()
        if not self._ledger.is_enough():
            return False
        earlier = Tally().with_more(other for other in now if other.number < trial.number)
        if not is_enough(earlier, self._handle.space.budget):
            return False
        self._handle.put_back(trial.number)
        return True

    def _cleared(self, number: int, lock: FileLock | None) -> FileLock:
        """The lock on a trial's directory, once that says whose it is; what lies there is moved aside."""
        directory = trial_directory(self._directory, number)
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
        write_text(directory / STUDY_MARK, self._handle.identity)
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
