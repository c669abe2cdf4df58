"""Where a study stands, without changing it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from search.status import locate_study, study_status
from search.storage import sqlite_url
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


def test_the_status_counts_trials_and_names_the_first_of_the_best(studies: Path) -> None:
    status = study_status(locate_study("one", studies))
    assert status.trials == {"complete": 3, "pruned": 1, "running": 1}
    assert status.causes == {"oom": 1}
    assert status.best is not None
    assert (status.best["number"], status.best["value"]) == (1, 0.7)
    assert [(trial["number"], trial["value"]) for trial in status.running] == [(4, 0.6)]
    assert status.last_activity is not None
    assert json.loads(json.dumps(status.to_json()))["name"] == "one"


def test_a_person_reads_the_same(studies: Path) -> None:
    text = "\n".join(study_status(locate_study("one", studies)).lines())
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
    status = study_status(locate_study("new", tmp_path))
    assert status.best is None
    assert "none yet" in "\n".join(status.lines())


def test_looking_changes_no_file(studies: Path) -> None:
    before = {path: path.read_bytes() for path in studies.iterdir()}
    study_status(locate_study("one", studies))
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
        study_status(f"sqlite:///{tmp_path}/none.db")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "odd.db").write_text("my notes, not a database at all")
    with pytest.raises(UserError, match="no SQLite database"):
        study_status(locate_study("odd", tmp_path))


def test_no_torch_is_loaded_to_look_at_a_study(studies: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from search.status import locate_study, study_status\n"
        f"study_status(locate_study('one', Path({str(studies)!r}))); sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_a_storage_url_that_is_none_is_one_line() -> None:
    with pytest.raises(UserError, match="use a URL such as"):
        study_status("nonsense://u:secret@h")
