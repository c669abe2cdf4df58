"""What is seen of a study in its file, held against what Optuna sees there."""

from __future__ import annotations

import math
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from search.catalog import Catalog
from search.finish.whereabouts import made_here, note
from search.importing import mark
from search.marks import RENAMING
from search.sight import SeenTrial, Sight, seen_in_file
from search.status import look_at, look_at_all, status_of
from search.storage.url import sqlite_url
from trainer import StorageFault, UserError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory whose name is awkward in a URL."""
    home = tmp_path / "studies % # 研究"
    home.mkdir()
    return home


def made(home: Path, name: str, *, file: str | None = None) -> optuna.Study:
    """A study with a trial of every state and every kind of number."""
    url = sqlite_url(home / f"{file or name}.db")
    study = optuna.create_study(storage=url, study_name=name, direction="maximize")
    for told, state in ((0.5, None), (math.inf, None), (None, TrialState.PRUNED), (None, TrialState.FAIL)):
        trial = asked(study)
        trial.report(0.25, 3)
        trial.report(0.75, 1)
        if state is not None:
            trial.set_user_attr("cause", "oom — 記憶體")
        study.tell(trial, told, state=state)
    asked(study).report(math.nan, 1)
    asked(study).report(-math.inf, 1)
    asked(study)
    study.enqueue_trial({"training.learning_rate": 1e-4})
    return study


def asked(study: optuna.Study) -> optuna.trial.Trial:
    trial = study.ask()
    trial.suggest_float("training.learning_rate", 1e-5, 1e-3, log=True)
    trial.suggest_int("training.epochs", 1, 5)
    trial.suggest_float("training.weight_decay", 0, 1, step=0.5)
    trial.suggest_categorical("model.pooling", ["cls", None, True, 2, 0.5])
    return trial


def of_optuna(home: Path, storage_url: str | None = None) -> list[Sight]:
    return [entry.sight() for entry in Catalog(home, storage_url).entries()]


def as_text(sights: list[Sight] | None) -> list[str]:
    """As text, as NaN equals nothing; with the params of the trials whose params are promised."""
    assert sights is not None
    return [repr((sight, [promised(trial) for trial in sight.trials])) for sight in sights]


def promised(trial: SeenTrial) -> SeenTrial:
    return trial if trial.state in ("complete", "running") else replace(trial, params={})


def test_the_file_shows_what_optuna_shows(home: Path) -> None:
    made(home, "one")
    ours = seen_in_file(home / "one.db")
    assert as_text(ours) == as_text(of_optuna(home))
    assert ours is not None
    states = [trial.state for trial in ours[0].trials]
    assert states == ["complete"] * 2 + ["pruned", "fail"] + ["running"] * 3 + ["waiting"]


def test_a_file_of_several_studies_shows_each(home: Path) -> None:
    made(home, "zwei", file="both")
    made(home, "eins", file="both")
    ours = seen_in_file(home / "both.db")
    assert [sight.name for sight in ours or []] == ["eins", "zwei"]
    assert as_text(ours) == as_text(of_optuna(home))


def test_status_and_list_say_the_same_either_way(home: Path) -> None:
    made(home, "one")
    by_url = sqlite_url(home / "one.db")
    assert look_at("one", home, None).lines() == look_at("one", home, by_url).lines()
    assert [found.line() for found in look_at_all(home, None)[0]] == [
        status_of(one).line() for one in of_optuna(home)
    ]


def test_marks_and_models_are_seen(home: Path) -> None:
    study = made(home, "one")
    (home / "one").mkdir()
    (home / "elsewhere").mkdir()
    note(study, made_here(home / "elsewhere", str(home / "elsewhere"), made_from="k"), of="k")
    mark(study, importing=True)
    ((found,), wrong) = look_at_all(home, None)
    assert not wrong
    assert found.half_imported
    assert [one.made_from for one in found.elsewhere] == ["k"]
    with pytest.raises(UserError, match="import of study one was cut off"):
        look_at("one", home, None)


def test_a_renaming_that_was_cut_off_is_told(home: Path) -> None:
    made(home, "one")
    (home / RENAMING).write_text(
        f'{{"old": "one", "to": "two", "storage_url": "{sqlite_url(home / "one.db")}", "owns_file": true}}'
    )
    with pytest.raises(UserError, match="renaming of study one to two was cut off"):
        look_at("one", home, None)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE version_info SET schema_version = 13",
        "DELETE FROM version_info",
        "ALTER TABLE trial_values RENAME TO gone",
        "UPDATE trial_values SET value_type = 'OTHER'",
        "UPDATE trial_params SET distribution_json = '{}'",
    ],
)
def test_what_is_not_as_expected_is_left_to_optuna(home: Path, change: str) -> None:
    made(home, "one")
    with sqlite3.connect(home / "one.db") as database:
        database.execute(change)
    assert seen_in_file(home / "one.db") is None


@pytest.mark.parametrize("content", ["", "my notes, not a database at all"])
def test_a_file_that_is_none_is_left_to_optuna(home: Path, content: str) -> None:
    (home / "odd.db").write_text(content)
    assert seen_in_file(home / "odd.db") is None
    assert (home / "odd.db").read_text() == content


def test_no_file_is_made(home: Path) -> None:
    assert seen_in_file(home / "none.db") is None
    assert not list(home.iterdir())


def test_a_bad_file_is_told_and_hides_no_other(home: Path) -> None:
    for name in ("a", "damaged", "z"):
        made(home, name)
    with sqlite3.connect(home / "foreign.db") as database:
        database.execute("CREATE TABLE notes (line TEXT)")
    (home / "directory.db").mkdir()
    damaged = home / "damaged.db"
    damaged.write_bytes(damaged.read_bytes()[:8192] + b"\0" * 65536)
    found, wrong = look_at_all(home, None)
    assert [status.name for status in found] == ["a", "z"]
    assert [error.args[0].partition(";")[0].partition(".db ")[2].partition(":")[0] for error in wrong] == [
        "is damaged",
        "holds no studies of this Optuna",
    ]


def test_a_study_is_found_in_a_file_of_another_name(home: Path) -> None:
    for name in ("one", "two"):
        made(home, name, file="both")
    assert look_at("two", home, None).name == "two"


@pytest.mark.slow
def test_a_locked_file_is_waited_for_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.storage.storage._LOOK_TIMEOUT_S", 2)
    made(home, "one")
    with closing(sqlite3.connect(home / "one.db")) as database:
        database.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        with pytest.raises(StorageFault, match="database is locked"):
            look_at("one", home, None)
    assert time.monotonic() - started < 2 * 2 + 5
