"""Where a study stands, without changing it."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from search.catalog import locate_study
from search.finish.final import Final
from search.finish.finished import note_given_up
from search.finish.record import read_record, write_record
from search.finish.words import verdict
from search.history import DIED, History
from search.status import StudyStatus, look_at
from search.storage.url import sqlite_url
from tests.search.finals import final
from trainer import UserError


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("studies % #? 1")
    study = optuna.create_study(storage=sqlite_url(home / "one.db"), study_name="one", direction="maximize")
    for value in (0.5, 0.7, 0.7):
        trial = study.ask()
        trial.suggest_float("training.learning_rate", 1e-5, 1e-3, log=True)
        study.tell(trial, value)
    pruned = study.ask()
    pruned.set_user_attr("cause", "oom")
    study.tell(pruned, state=TrialState.PRUNED)
    running = study.ask()
    running.suggest_float("training.learning_rate", 1e-5, 1e-3, log=True)
    running.report(0.6, 1)
    return home


def status(name: str, studies: Path) -> StudyStatus:
    return look_at(name, studies, None)


def test_the_status_counts_trials_and_names_the_first_of_the_best(studies: Path) -> None:
    found = status("one", studies)
    assert found.trials == {"complete": 3, "pruned": 1, "running": 1}
    assert found.causes == {"oom": 1}
    assert found.best is not None
    assert (found.best["number"], found.best["value"]) == (1, 0.7)
    assert [(trial["number"], trial["value"]) for trial in found.running] == [(4, 0.6)]
    assert found.last_activity is not None
    assert json.loads(json.dumps(found.to_json()))["name"] == "one"


def test_a_person_reads_the_same(studies: Path) -> None:
    text = "\n".join(status("one", studies).lines())
    for words in (
        "Study one",
        "3 complete, 1 pruned, 1 running",
        "trial 1: 0.7000",
        "trial 4: 0.6000",
        "1 oom",
    ):
        assert words in text


def test_a_study_without_trials_says_so(tmp_path: Path) -> None:
    optuna.create_study(storage=f"sqlite:///{tmp_path}/new.db", study_name="new")
    found = status("new", tmp_path)
    assert found.best is None
    assert found.final is None
    assert "none yet" in "\n".join(found.lines())


def test_looking_changes_no_file(studies: Path) -> None:
    before = {path: path.read_bytes() for path in studies.iterdir()}
    status("one", studies)
    assert {path: path.read_bytes() for path in studies.iterdir()} == before


def test_a_study_is_found_by_name_file_directory_and_url(studies: Path) -> None:
    url = sqlite_url(studies / "one.db")
    (studies / "one").mkdir(exist_ok=True)
    for words in ("one", str(studies / "one.db"), str(studies / "one"), url):
        assert locate_study(words, studies) == url


def test_a_study_that_is_not_there_lists_those_that_are(studies: Path) -> None:
    with pytest.raises(UserError, match=r"no study onn in .*did you mean one\? there are: one"):
        locate_study("onn", studies)


def test_where_there_are_no_studies_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none yet; cp-search run SPACE makes one"):
        locate_study("one", tmp_path)


def test_a_url_of_a_missing_file_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        status(f"sqlite:///{tmp_path}/none.db", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "odd.db").write_text("my notes, not a database at all")
    with pytest.raises(UserError, match="no SQLite database"):
        status("odd", tmp_path)


def test_a_storage_url_that_is_none_is_one_line() -> None:
    with pytest.raises(UserError, match="use a URL such as"):
        status("nonsense://u:secret@h", Path())


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A study with a finished model, made in another directory than the one it lies in now."""
    optuna.create_study(storage=sqlite_url(tmp_path / "one.db"), study_name="one")
    (tmp_path / "one" / "final" / "model").mkdir(parents=True)
    write_record(tmp_path / "one" / "final" / "final.json", final(ours=0.83, baseline=0.86), key="k")
    return tmp_path


def test_a_finished_study_names_its_model_with_its_score_and_the_baseline_s(finished: Path) -> None:
    found = status("one", finished)
    assert found.to_json()["final"] == {
        "trial": 1,
        "model_dir": str(finished / "one" / "final" / "model"),
        "eval_f1_macro": 0.8,
        "test_f1_macro": 0.83,
        "baseline_f1_macro": 0.86,
        "verdict": verdict(final(ours=0.83, baseline=0.86)),
    }
    text = " ".join(" ".join(found.lines()).split())
    assert "one/final/model" in text
    assert "trial 1, retrained" in text
    assert "BELOW THE BASELINE by 0.0300" in text


@pytest.mark.parametrize("left", ["", "[]", '{"record": {"trial": 1, "model_dir": "final/model"}}'])
def test_a_record_that_is_torn_or_of_another_version_is_no_finished_model(finished: Path, left: str) -> None:
    (finished / "one" / "final" / "final.json").write_text(left)
    assert status("one", finished).final is None


def test_a_record_that_lacks_what_came_later_is_read_as_the_finish_reads_it(finished: Path) -> None:
    path = finished / "one" / "final" / "final.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    for key in whole["record"]:
        path.write_text(
            json.dumps({**whole, "record": {k: v for k, v in whole["record"].items() if k != key}})
        )
        record = read_record(path, Final)
        has_model = record is not None and record.model_dir is not None
        assert (status("one", finished).final is not None) == has_model, key


def test_a_finished_model_that_was_deleted_is_not_named_as_if_it_were_there(finished: Path) -> None:
    (finished / "one" / "final" / "model").rmdir()
    found = status("one", finished)
    assert found.final is not None
    assert found.final.model_dir is None
    assert "deleted since; cp-search retrain makes it again" in "\n".join(found.lines())


def test_a_part_that_was_given_up_is_named_until_it_goes_on(finished: Path) -> None:
    part = finished / "one" / "confirm" / "trial-0000-seed-1043"
    part.mkdir(parents=True)
    died = "confirming trial 0 on seed 1043: its process and its worker died together"
    note_given_up(finished / "one", died, directory=part)
    history = History(part)
    history.begin(pid=1)
    history.end(DIED, seconds=1.0)
    found = status("one", finished)
    assert found.given_up == died
    text = " ".join(" ".join(found.lines()).split())
    assert f"given up: {died}; cp-search retrain one tries it once more" in text
    assert "one/final/model" in text, "the model of before is still there"
    history.begin(pid=2)
    history.end("completed", seconds=1.0)
    assert status("one", finished).given_up is None


def test_a_study_named_by_its_file_is_looked_at_beside_that_file(finished: Path, tmp_path: Path) -> None:
    found = status(str(finished / "one.db"), tmp_path / "elsewhere")
    assert found.final is not None
    assert found.final.model_dir == str(finished / "one" / "final" / "model")


def test_a_file_in_the_place_of_the_directory_holds_no_finish(tmp_path: Path) -> None:
    optuna.create_study(storage=sqlite_url(tmp_path / "one.db"), study_name="one", direction="maximize")
    (tmp_path / "one").touch()
    found = status("one", tmp_path)
    assert found.final is None
    assert found.given_up is None
