"""Writes that are gathered: read back at once, stored in one transaction, all or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import Trial, TrialState
from sqlalchemy import event
from sqlalchemy.engine import Engine

from search.storage.gathering import GatheringStorage, together
from search.storage.storage import open_storage
from search.storage.url import sqlite_url

RATE = FloatDistribution(0.0, 1.0)


@pytest.fixture(params=["sqlite", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> BaseStorage:
    if request.param == "memory":
        return GatheringStorage(InMemoryStorage())
    return open_storage(sqlite_url(tmp_path / "a.db"))


def asked(storage: BaseStorage) -> Trial:
    return optuna.create_study(study_name="a", storage=storage, direction="maximize").ask()


def write_all(trial: Trial) -> None:
    trial.suggest_float("rate", 0.0, 1.0)
    trial.report(0.5, 1)
    trial.set_constraint("memory", 0.25)
    trial.set_user_attr("seconds", 3.0)


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that change something, meanwhile, and the commits after them."""
    found: list[str] = []

    def executed(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if not statement.startswith(("SELECT", "PRAGMA")):
            found.append(statement.split()[0])

    def committed(_connection: object) -> None:
        if found and found[-1] != "COMMIT":
            found.append("COMMIT")

    event.listen(Engine, "before_cursor_execute", executed)
    event.listen(Engine, "commit", committed)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", executed)
        event.remove(Engine, "commit", committed)


def test_what_is_gathered_is_stored_in_one_transaction(tmp_path: Path) -> None:
    trial = asked(open_storage(sqlite_url(tmp_path / "a.db")))
    with counted() as statements, together(trial.storage):
        write_all(trial)
    assert statements == ["INSERT", "INSERT", "INSERT", "INSERT", "COMMIT"]
    with counted() as alone:
        write_all(trial.study.ask())
    assert alone.count("COMMIT") == 5


def test_everything_gathered_is_there_afterwards(storage: BaseStorage) -> None:
    trial = asked(storage)
    with together(storage):
        write_all(trial)
    found = storage.get_trial(trial._trial_id)
    assert found.params == trial.params
    assert found.intermediate_values == {1: 0.5}
    assert found.constraints == {"memory": 0.25}
    assert found.user_attrs == {"seconds": 3.0}


def test_the_trial_is_read_meanwhile_as_it_will_be(storage: BaseStorage) -> None:
    trial = asked(storage)
    with together(storage):
        write_all(trial)
        found = storage.get_trial(trial._trial_id)
        trial.set_user_attr("cause", "pruned")
        assert (found.params, found.intermediate_values) == (trial.params, {1: 0.5})
        assert found.user_attrs == {"seconds": 3.0, "cause": "pruned"}


def test_whoever_reads_all_trials_meanwhile_sees_what_was_gathered(storage: BaseStorage) -> None:
    trial = asked(storage)
    with together(storage):
        write_all(trial)
        (found,) = trial.study.get_trials()
        assert found.user_attrs == {"seconds": 3.0}


def test_a_trial_told_as_pruned_keeps_the_last_value_gathered_with_it(storage: BaseStorage) -> None:
    trial = asked(storage)
    with together(storage):
        trial.report(0.75, 2)
        told = trial.study.tell(trial, state=TrialState.PRUNED)
    assert (told.state, told.value) == (TrialState.PRUNED, 0.75)


def test_nothing_is_stored_of_what_was_gathered_before_an_error(tmp_path: Path) -> None:
    storage = open_storage(sqlite_url(tmp_path / "a.db"))
    trial = asked(storage)

    def break_off() -> None:
        with together(storage):
            write_all(trial)
            raise LookupError

    with pytest.raises(LookupError):
        break_off()
    assert storage.get_trial(trial._trial_id).params == {}
    assert storage.get_trial(trial._trial_id).user_attrs == {}


def test_a_transaction_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    storage = open_storage(sqlite_url(tmp_path / "a.db"))
    trial = asked(storage)

    def write() -> None:
        with together(storage):
            trial.set_user_attr("seconds", 3.0)
            trial.set_user_attr("odd", object())

    with pytest.raises(TypeError, match="JSON"):
        write()
    assert storage.get_trial(trial._trial_id).user_attrs == {}


def test_a_row_that_another_worker_wrote_first_costs_none_of_the_others(tmp_path: Path) -> None:
    storage = open_storage(sqlite_url(tmp_path / "a.db"))
    trial = asked(storage)
    with together(storage):
        trial.set_user_attr("seconds", 3.0)
        trial.suggest_float("rate", 0.0, 1.0)
        other = open_storage(sqlite_url(tmp_path / "a.db"))
        assert len(optuna.load_study(study_name="a", storage=other).trials) == 1
        other.set_trial_param(trial._trial_id, "rate", 0.125, RATE)
    found = storage.get_trial(trial._trial_id)
    assert found.params == {"rate": 0.125}
    assert found.user_attrs == {"seconds": 3.0}
