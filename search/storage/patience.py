"""A storage on the network that goes away for a while is waited for, here and nowhere else.

A database server that restarts breaks the calls that are under way and refuses new ones for some seconds.
One that is frozen takes calls and answers none: after a while that counts as the same (`answers.py`).
Once the storage answers, the call is made again. That is safe: all calls but one write the same thing twice,
and a trial that was made but never heard of has no owner, so that the next worker who looks takes it over.

Ctrl-C ends the waiting: what was not stored lies in the trials' directories, and the next search tells it.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import DuplicatedStudyError, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError

from search.interruption import Interrupted, Stop
from search.storage.answers import Answers, Unanswered
from search.storage.relay import Call, RelayStorage, Transactional

#: SQLAlchemy's code of the error that a transaction ends with whose connection an earlier statement lost
_LOST_BEFORE = "8s2b"
#: the number of no study
_NO_STUDY = 0
#: what no waiting mends, in the words of PostgreSQL and MySQL
_LASTING = ("authentication failed", "access denied", "does not exist", "permission denied", "no space left")


@dataclass(frozen=True)
class Patience:
    """How long a storage that does not answer is waited for, and who is told of it.

    limit_s: from the first failed call on. The waits in between double from `first_s` to `longest_s`. sleep:
    for some seconds, or until somebody asks to stop.
    """

    say: Callable[[str], None]
    limit_s: float = 600.0
    first_s: float = 0.2
    longest_s: float = 10.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[Stop, float], None] = Stop.wait

    def waits(self, stop: Stop) -> Iterator[float]:
        """Wait a little longer each time; ends when the patience does, or somebody asks to stop."""
        end = self.clock() + self.limit_s
        wait_s = self.first_s
        while self.clock() < end:
            self.sleep(stop, wait_s)
            if stop.asked:
                return
            yield wait_s
            wait_s = min(2 * wait_s, self.longest_s)


class PatientStorage(RelayStorage):
    """`inner`, whose calls are repeated while it is away; anything else it raises passes through.

    Used from several threads, as a worker beats while it waits for a child.
    """

    def __init__(self, inner: BaseStorage, patience: Patience, answers: Answers | None = None) -> None:
        """`answers`: what `inner` limits its waiting by."""
        super().__init__(inner)
        self._patience = patience
        self._answers = answers or Answers()
        self._away = threading.Event()

    @property
    def stop(self) -> Stop:
        """Who may end the waiting; see `heeding`."""
        return self._answers.stop

    @stop.setter
    def stop(self, stop: Stop) -> None:
        self._answers.stop = stop

    def relay(self, call: Call) -> Any:
        """Make a call on `inner`, again while that is away."""
        return self._patiently(lambda: call.to(self.inner))

    def write_together(self, calls: Sequence[Call]) -> Any:
        """As `RelayStorage`. In a transaction they are all written, heard of or not."""
        inner = self.inner
        if not isinstance(inner, Transactional):
            return [call.to(self) for call in calls][-1]
        before = self._losses
        try:
            return self._patiently(lambda: inner.write_together(calls))
        except UpdateFinishedTrialError:
            if not self._was_told(calls[-1], before):
                raise
            return True

    def create_new_study(self, directions: Any, study_name: str | None = None) -> int:
        """As `BaseStorage`. Made, but not heard of, before the storage went away: it is the study."""
        before = self._losses
        try:
            made: int = super().create_new_study(directions, study_name)
        except DuplicatedStudyError:
            if study_name is None or before == self._losses:
                raise
            made = self.get_study_id_from_name(study_name)
        return made

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Any = None) -> bool:
        """As `BaseStorage`. Told, but not heard of, before the storage went away: it is told."""
        call = Call("set_trial_state_values", (trial_id,), {"state": state, "values": values})
        before = self._losses
        try:
            changed: bool = self.relay(call)
        except UpdateFinishedTrialError:
            if not self._was_told(call, before):
                raise
            return True
        return changed

    def _was_told(self, call: Call, losses_before: int) -> bool:
        """Was the state that `call` sets stored already, by a call that was not heard of?"""
        if losses_before == self._losses or call.method != "set_trial_state_values":
            return False
        state: TrialState = call.kwargs["state"]
        stored: TrialState = self.get_trial(call.args[0]).state
        return stored == state

    _losses = 0

    def _patiently(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except faults() as error:
            if not is_passing(error):
                raise
            return self.again(call, error)

    def again(self, call: Callable[[], Any], error: Exception) -> Any:
        """`call` until it goes through. Raises the last error when the patience is over, or by Ctrl-C."""
        self._losses += 1
        self._say_away(error)
        for _ in self._patience.waits(self.stop):
            away = False
            try:
                self._look()
                return call()
            except faults() as next_error:
                away = is_passing(next_error)
                if not away:
                    raise
                error = next_error
            finally:
                # Whatever else the call raises is an answer: that a trial is told already, say.
                if not away:
                    self._say_back()
        raise error

    def _say_away(self, error: Exception) -> None:
        """Once; not to somebody who does not wait for it."""
        if self._away.is_set() or self.stop.asked:
            return
        self._away.set()
        minutes = self._patience.limit_s / 60
        self._patience.say(
            f"The storage does not answer ({first_line(error)}); waiting up to {minutes:.0f} min"
        )

    def _say_back(self) -> None:
        if self._away.is_set():
            self._away.clear()
            self._patience.say("The storage is back.")

    def _look(self) -> None:
        """Ask something that changes nothing: what a frozen storage is told ten times it may do ten times."""
        with suppress(KeyError):
            self.inner.get_study_name_from_id(_NO_STUDY)


@contextmanager
def heeding(storage: BaseStorage, stop: Stop) -> Iterator[None]:
    """Nobody waits for `storage` any more once `stop` is asked.

    Raises:
        Interrupted: it was away then, and what it was to be told stays with the trials.
    """
    patient = _patient(storage)
    if patient is None:
        yield
        return
    before, patient.stop = patient.stop, stop
    try:
        yield
    except faults() as error:
        if not (stop.asked and is_passing(error)):
            raise
        raise Interrupted(
            "Interrupted while the storage does not answer. Type the same command once it does: what it was "
            "not told is on the disk, and is told then."
        ) from error
    finally:
        patient.stop = before


def _patient(storage: BaseStorage) -> PatientStorage | None:
    """The one among the storages that pass calls on which waits."""
    while isinstance(storage, RelayStorage) and not isinstance(storage, PatientStorage):
        storage = storage.inner
    return storage if isinstance(storage, PatientStorage) else None


def is_passing(error: BaseException) -> bool:
    """Is it the connection that failed, rather than what was asked?"""
    if isinstance(error, Unanswered):
        return True
    if isinstance(error, rpc_errors()):
        return _code(error) == "UNAVAILABLE"
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, PendingRollbackError):
        return cause.code == _LOST_BEFORE
    if not isinstance(cause, DBAPIError) or type(cause.orig).__module__.startswith("sqlite3"):
        return False
    lost = cause.connection_invalidated or isinstance(cause, OperationalError | InterfaceError)
    return lost and not any(words in str(cause).lower() for words in _LASTING)


def faults() -> tuple[type[Exception], ...]:
    """What a storage raises when it fails, of whatever kind it is."""
    return (DBAPIError, sqlite3.Error, StorageInternalError, Unanswered, *rpc_errors())


def rpc_errors() -> tuple[type[Exception], ...]:
    """What gRPC raises; nothing where it was never imported, which takes a moment."""
    grpc = sys.modules.get("grpc")
    return (grpc.RpcError,) if grpc is not None else ()


def first_line(error: BaseException) -> str:
    """What a storage's error says, in one line and without the statement that was tried."""
    if isinstance(error, rpc_errors()):
        return f"gRPC: {_code(error)}"
    cause = error.__cause__ or error
    return str(getattr(cause, "orig", None) or cause).splitlines()[0]


def _code(error: BaseException) -> str:
    code = getattr(error, "code", None)
    return str(code().name) if callable(code) else ""
