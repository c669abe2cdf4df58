"""A storage on the network that goes away for a while is waited for, here and nowhere else.

A database server that restarts breaks the calls that are under way and refuses new ones for some seconds.
Each call is then made again. That is safe: all calls but one write the same thing twice, and a trial that was
made but never heard of has no owner, so that the next worker who looks takes it over.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import DuplicatedStudyError, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

#: what no waiting mends, in the words of PostgreSQL and MySQL
_LASTING = ("authentication failed", "access denied", "does not exist", "permission denied", "no space left")


@dataclass(frozen=True)
class Patience:
    """How long a storage that does not answer is waited for, and who is told of it.

    limit_s: from the first failed call on. The waits in between double from `first_s` to `longest_s`.
    """

    say: Callable[[str], None]
    limit_s: float = 600.0
    first_s: float = 0.2
    longest_s: float = 10.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def waits(self) -> Iterator[float]:
        """Wait a little longer each time; ends when the patience does."""
        end = self.clock() + self.limit_s
        wait_s = self.first_s
        while self.clock() < end:
            self.sleep(wait_s)
            yield wait_s
            wait_s = min(2 * wait_s, self.longest_s)


def _patient(name: str) -> Callable[..., Any]:
    """The method `name` of a storage, called again while the storage is away."""

    def call(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        method = getattr(self.inner, name)
        try:
            return method(*args, **kwargs)
        except faults() as error:
            if not is_passing(error):
                raise
            return self.again(lambda: method(*args, **kwargs), error)

    return call


class PatientStorage(BaseStorage):
    """`inner`, whose calls are repeated while it is away; anything else it raises passes through.

    Used from several threads, as a worker beats while it waits for a child.
    """

    def __init__(self, inner: BaseStorage, patience: Patience) -> None:
        self.inner = inner
        self._patience = patience
        self._away = threading.Event()

    delete_study = _patient("delete_study")
    set_study_user_attr = _patient("set_study_user_attr")
    set_study_system_attr = _patient("set_study_system_attr")
    get_study_id_from_name = _patient("get_study_id_from_name")
    get_study_name_from_id = _patient("get_study_name_from_id")
    get_study_directions = _patient("get_study_directions")
    get_study_user_attrs = _patient("get_study_user_attrs")
    get_study_system_attrs = _patient("get_study_system_attrs")
    get_all_studies = _patient("get_all_studies")
    create_new_trial = _patient("create_new_trial")
    set_trial_param = _patient("set_trial_param")
    get_trial_id_from_study_id_trial_number = _patient("get_trial_id_from_study_id_trial_number")
    set_trial_intermediate_value = _patient("set_trial_intermediate_value")
    set_trial_user_attr = _patient("set_trial_user_attr")
    set_trial_system_attr = _patient("set_trial_system_attr")
    get_trial = _patient("get_trial")
    get_all_trials = _patient("get_all_trials")
    get_best_trial = _patient("get_best_trial")
    _create_new_study = _patient("create_new_study")
    _set_trial_state_values = _patient("set_trial_state_values")

    def create_new_study(self, directions: Any, study_name: str | None = None) -> int:
        """As `BaseStorage`. Made, but not heard of, before the storage went away: it is the study."""
        before = self._losses
        try:
            made: int = self._create_new_study(directions, study_name)
        except DuplicatedStudyError:
            if study_name is None or before == self._losses:
                raise
            made = self.get_study_id_from_name(study_name)
        return made

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Any = None) -> bool:
        """As `BaseStorage`. Told, but not heard of, before the storage went away: it is told."""
        before = self._losses
        try:
            changed: bool = self._set_trial_state_values(trial_id, state=state, values=values)
        except UpdateFinishedTrialError:
            if before == self._losses or self.get_trial(trial_id).state != state:
                raise
            return True
        return changed

    _losses = 0

    def again(self, call: Callable[[], Any], error: Exception) -> Any:
        """`call` until it goes through. Raises the last error when the patience is at its end."""
        self._losses += 1
        if not self._away.is_set():
            self._away.set()
            minutes = self._patience.limit_s / 60
            self._patience.say(
                f"The storage does not answer ({first_line(error)}); waiting up to {minutes:.0f} min"
            )
        for _ in self._patience.waits():
            try:
                result = call()
            except faults() as next_error:
                if not is_passing(next_error):
                    raise
                error = next_error
                continue
            if self._away.is_set():
                self._away.clear()
                self._patience.say("The storage is back.")
            return result
        raise error


def is_passing(error: BaseException) -> bool:
    """Is it the connection that failed, rather than what was asked?"""
    if isinstance(error, rpc_errors()):
        return _code(error) == "UNAVAILABLE"
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if not isinstance(cause, DBAPIError) or type(cause.orig).__module__.startswith("sqlite3"):
        return False
    lost = cause.connection_invalidated or isinstance(cause, OperationalError | InterfaceError)
    return lost and not any(words in str(cause).lower() for words in _LASTING)


def faults() -> tuple[type[Exception], ...]:
    """What a storage raises when it fails, of whatever kind it is."""
    return (DBAPIError, sqlite3.Error, StorageInternalError, *rpc_errors())


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
