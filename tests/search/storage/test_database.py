"""A database opened to look into, held against Optuna's own way of opening it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage

from search.storage.database import FileStorage
from search.storage.storage import open_file
from search.storage.url import sqlite_url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A study with a told, a pruned and a running trial."""
    study = optuna.create_study(
        storage=sqlite_url(tmp_path / "one.db"), study_name="one", direction="maximize"
    )
    for _ in range(3):
        trial = study.ask()
        trial.suggest_categorical("model.pooling", ["cls", None])
        trial.suggest_float("training.learning_rate", 1e-5, 1e-3, log=True)
        trial.report(0.5, 1)
        trial.set_user_attr("cause", "ü")
    study.tell(0, 0.7)
    study.tell(1, state=optuna.trial.TrialState.PRUNED)
    return tmp_path / "one.db"


def test_the_same_is_read_as_by_optuna_s_own(file: Path) -> None:
    ours, theirs = open_file(file), RDBStorage(sqlite_url(file))
    (study,) = ours.get_all_studies()
    assert study == theirs.get_all_studies()[0]
    assert ours.get_all_trials(study._study_id) == theirs.get_all_trials(study._study_id)


def test_it_has_what_optuna_s_constructor_sets(file: Path) -> None:
    theirs = set(vars(RDBStorage(sqlite_url(file))))
    assert set(vars(FileStorage(sqlite_url(file), timeout_s=1))) == theirs - {"_version_manager"}


def test_a_note_can_be_written(file: Path) -> None:
    storage = open_file(file)
    storage.set_study_system_attr(1, "dashboard:note", "looked at")
    assert RDBStorage(sqlite_url(file)).get_study_system_attrs(1)["dashboard:note"] == "looked at"


def test_looking_into_a_file_without_a_version_writes_none(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM version_info")
        database.execute("DELETE FROM alembic_version")
    before = file.read_bytes()
    assert len(open_file(file).get_all_trials(1)) == 3
    assert file.read_bytes() == before
