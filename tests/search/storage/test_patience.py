"""A storage that goes away is waited for, within limits; a fault that stays is not."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError, PendingRollbackError

from search.interruption import Interrupted, Stop
from search.storage.gathering import GatheringStorage, together
from search.storage.patience import Patience, PatientStorage, heeding, is_passing
from search.storage.relay import Call


class ServerGone(Exception):
    """What a driver raises."""


def lost(words: str = "server closed the connection unexpectedly") -> StorageInternalError:
    error = StorageInternalError("An exception is raised during the commit.")
    error.__cause__ = OperationalError("SELECT 1", None, ServerGone(words))
    return error


class Flaky(InMemoryStorage):
    """Does what it is asked, and then raises what `errors` holds, as if the reply had been lost."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []

    def _reply(self, result: Any) -> Any:
        if self.errors:
            raise self.errors.pop(0)
        return result

    def create_new_study(self, *args: Any, **kwargs: Any) -> int:
        made: int = self._reply(super().create_new_study(*args, **kwargs))
        return made

    def set_trial_state_values(self, *args: Any, **kwargs: Any) -> bool:
        changed: bool = self._reply(super().set_trial_state_values(*args, **kwargs))
        return changed

    def set_trial_user_attr(self, *args: Any, **kwargs: Any) -> None:
        self._reply(super().set_trial_user_attr(*args, **kwargs))


class FlakyTransactions(Flaky):
    """One whose reply to a whole transaction is lost."""

    def write_together(self, calls: Sequence[Call]) -> Any:
        return self._reply([call.to(self) for call in calls][-1])


@dataclass
class Time:
    now: float = 0.0
    asked_at: float = float("inf")
    lines: list[str] = field(default_factory=list)

    def sleep(self, stop: Stop, seconds: float) -> None:
        self.now += seconds
        if self.now > self.asked_at:
            stop.ask()

    def patience(self) -> Patience:
        return Patience(self.lines.append, limit_s=60.0, clock=lambda: self.now, sleep=self.sleep)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def flaky() -> Flaky:
    return Flaky()


@pytest.fixture
def storage(flaky: Flaky, time: Time) -> PatientStorage:
    return PatientStorage(flaky, time.patience())


def trial_in(storage: BaseStorage) -> int:
    study = storage.create_new_study([StudyDirection.MAXIMIZE], "one")
    made: int = storage.create_new_trial(study)
    return made


def test_a_call_is_made_again_until_it_succeeds(flaky: Flaky, storage: PatientStorage, time: Time) -> None:
    trial = trial_in(storage)
    flaky.errors = [lost(), lost(), lost()]
    storage.set_trial_user_attr(trial, "seconds", 1.0)
    assert storage.get_trial(trial).user_attrs == {"seconds": 1.0}
    assert time.now == pytest.approx(0.2 + 0.4 + 0.8)
    said, back = time.lines
    assert (
        said == "The storage does not answer (server closed the connection unexpectedly); waiting up to 1 min"
    )
    assert back == "The storage is back."


def test_patience_ends_with_the_last_error(flaky: Flaky, storage: PatientStorage, time: Time) -> None:
    trial = trial_in(storage)
    flaky.errors = [lost(str(number)) for number in range(100)]
    with pytest.raises(StorageInternalError):
        storage.set_trial_user_attr(trial, "seconds", 1.0)
    assert 60 <= time.now <= 70
    assert len(time.lines) == 1


@pytest.mark.parametrize(
    "error",
    [
        lost('password authentication failed for user "u"'),
        lost('database "b" does not exist'),
        StorageInternalError("no cause"),
        sqlite3.OperationalError("disk I/O error"),
    ],
    ids=["password", "database", "unknown", "sqlite"],
)
def test_what_no_waiting_mends_is_raised_at_once(
    flaky: Flaky, storage: PatientStorage, time: Time, error: Exception
) -> None:
    trial = trial_in(storage)
    flaky.errors = [error]
    with pytest.raises(type(error)):
        storage.set_trial_user_attr(trial, "seconds", 1.0)
    assert time.now == 0


def test_a_trial_told_before_the_reply_was_lost_is_told(flaky: Flaky, storage: PatientStorage) -> None:
    trial = trial_in(storage)
    flaky.errors = [lost()]
    assert storage.set_trial_state_values(trial, TrialState.COMPLETE, [0.5])
    assert storage.get_trial(trial).value == 0.5


def test_a_trial_told_in_a_transaction_before_the_reply_was_lost_is_told(time: Time) -> None:
    flaky = FlakyTransactions()
    storage = GatheringStorage(PatientStorage(flaky, time.patience()))
    trial = trial_in(storage)
    with together(storage):
        storage.set_trial_user_attr(trial, "seconds", 1.0)
        flaky.errors = [lost()]
        assert storage.set_trial_state_values(trial, TrialState.COMPLETE, [0.5])
    assert storage.get_trial(trial).value == 0.5
    assert storage.get_trial(trial).user_attrs == {"seconds": 1.0}


def test_what_is_gathered_for_a_storage_without_transactions_is_waited_for_call_by_call(time: Time) -> None:
    flaky = Flaky()
    storage = GatheringStorage(PatientStorage(flaky, time.patience()))
    trial = trial_in(storage)
    flaky.errors = [lost(), lost()]
    with together(storage):
        storage.set_trial_user_attr(trial, "seconds", 1.0)
        assert storage.set_trial_state_values(trial, TrialState.COMPLETE, [0.5])
    assert storage.get_trial(trial).user_attrs == {"seconds": 1.0}
    assert len(time.lines) == 2


def test_a_study_made_before_the_reply_was_lost_is_the_study(flaky: Flaky, storage: PatientStorage) -> None:
    flaky.errors = [lost()]
    made = storage.create_new_study([StudyDirection.MAXIMIZE], "one")
    assert storage.get_study_id_from_name("one") == made


def test_who_asks_to_stop_is_heeded_while_the_storage_is_away(flaky: Flaky, time: Time) -> None:
    storage = GatheringStorage(PatientStorage(flaky, time.patience()))
    trial = trial_in(storage)
    flaky.errors = [lost() for _ in range(100)]
    time.asked_at = 5.0
    with pytest.raises(Interrupted, match="what it was not told is on the disk"), heeding(storage, Stop()):
        storage.set_trial_user_attr(trial, "seconds", 1.0)
    assert 5 < time.now < 15


def test_a_storage_that_goes_away_after_that_is_not_waited_for(flaky: Flaky, time: Time) -> None:
    storage, stop = PatientStorage(flaky, time.patience()), Stop()
    trial = trial_in(storage)
    stop.ask()
    with heeding(storage, stop):
        storage.set_trial_user_attr(trial, "seconds", 1.0)
    flaky.errors = [lost()]
    with pytest.raises(Interrupted), heeding(storage, stop):
        storage.set_trial_user_attr(trial, "seconds", 2.0)
    assert time.now <= 0.2


def test_a_fault_that_stays_is_no_interruption(flaky: Flaky, storage: PatientStorage) -> None:
    trial, stop = trial_in(storage), Stop()
    stop.ask()
    flaky.errors = [lost('password authentication failed for user "u"')]
    with pytest.raises(StorageInternalError), heeding(storage, stop):
        storage.set_trial_user_attr(trial, "seconds", 1.0)


def test_once_the_context_is_left_the_storage_is_waited_for_again(flaky: Flaky, time: Time) -> None:
    storage, stop = PatientStorage(flaky, time.patience()), Stop()
    trial = trial_in(storage)
    with heeding(storage, stop):
        stop.ask()
    flaky.errors = [lost()]
    storage.set_trial_user_attr(trial, "seconds", 1.0)
    assert storage.get_trial(trial).user_attrs == {"seconds": 1.0}


@pytest.mark.parametrize(("code", "passes"), [("8s2b", True), ("7s2a", False)])
def test_a_transaction_whose_connection_was_lost_before_passes_and_no_other(code: str, passes: bool) -> None:
    # As it comes where Optuna passes over the statement that lost the connection, and tries the next one.
    error = StorageInternalError("An exception is raised during the commit.")
    error.__cause__ = PendingRollbackError(
        "Can't reconnect until invalid transaction is rolled back.", code=code
    )
    assert is_passing(error) is passes
