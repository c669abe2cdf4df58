"""Looking after studies through the command line: list, show, rename, delete, export, import."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path

import optuna
import pytest
from filelock import FileLock
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from search.engine.child import CHILD_LOCK
from search.finish.place import FINISH_LOCK
from search.finish.turn import FINISH_MARK, finisher
from search.finish.whereabouts import Whereabouts, made_here, models, note
from search.marks import IMPORTING
from search.ownership import STUDY_LOCK
from search.storage.storage import open_existing, quiet_optuna
from search.storage.url import sqlite_url
from search.tenancy import tenant
from tests.conftest import picture
from tests.search.cli.typed import call

DISTRIBUTIONS = {
    "training.learning_rate": FloatDistribution(1e-5, 1e-3, log=True),
    "model.pooling": CategoricalDistribution(["cls", "mean", None]),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with `studies/one.db`: a trial of every kind."""
    monkeypatch.chdir(tmp_path)
    quiet_optuna()
    (tmp_path / "studies" / "one" / "trial-0000").mkdir(parents=True)
    study = optuna.create_study(
        storage=sqlite_url(Path("studies/one.db")), study_name="one", direction="maximize"
    )
    study.set_user_attr("cp_search", "{}")
    complete = study.ask(DISTRIBUTIONS)
    complete.report(0.5, 1)
    complete.report(math.inf, 2)
    complete.set_constraint("memory_gib", -0.25)
    complete.set_user_attr("seconds", 1.5)
    study.tell(complete, 0.75)
    pruned = study.ask(DISTRIBUTIONS)
    pruned.set_user_attr("cause", "oom")
    study.tell(pruned, state=TrialState.PRUNED)
    study.ask(DISTRIBUTIONS).report(0.25, 1)
    study.enqueue_trial({"training.learning_rate": 2e-5, "model.pooling": None})
    return tmp_path


def trials(name: str) -> list[FrozenTrial]:
    storage = open_existing(sqlite_url(Path(f"studies/{name}.db")))
    return optuna.load_study(study_name=name, storage=storage).get_trials()


def test_list_shows_every_study_with_its_best(home: Path) -> None:
    optuna.create_study(storage=sqlite_url(Path("studies/two.db")), study_name="two")
    result = call("study", "list")
    assert result.output.splitlines() == [
        "one: 1 complete, 1 pruned, 1 running, 1 waiting; best 0.7500 (trial 0); sqlite:///studies/one.db",
        "two: no trials yet; no best yet; sqlite:///studies/two.db",
    ]
    assert [found["name"] for found in json.loads(call("study", "list", "--json").output)] == ["one", "two"]


def test_show_has_a_line_for_every_trial(home: Path) -> None:
    output = call("study", "show", "one").output
    assert "0.7500" in output
    assert "oom" in output
    document = json.loads(call("study", "show", "one", "--json").output)
    assert [trial["state"] for trial in document["all"]] == ["complete", "pruned", "running", "waiting"]


def test_looking_changes_nothing(home: Path) -> None:
    before = picture(home)
    for words in (["list"], ["show", "one"], ["show", "two"]):
        call("study", *words)
    assert picture(home) == before


def test_a_study_is_the_same_after_export_and_import(home: Path) -> None:
    assert call("study", "export", "one", "--to", "one.json").exit_code == 0
    result = call("study", "import", "one.json", "--name", "again")
    assert result.exit_code == 0, result.output
    before, after = trials("one"), trials("again")
    assert len(before) == len(after) == 4
    for old, new in zip(before, after, strict=True):
        new._trial_id = old._trial_id
        assert new == old
    assert after[0].constraints == {"memory_gib": -0.25}
    assert after[0].intermediate_values == {1: 0.5, 2: math.inf}
    assert after[3].system_attrs["fixed_params"] == {"training.learning_rate": 2e-5, "model.pooling": None}


def test_the_csv_has_everything_of_every_trial(home: Path) -> None:
    assert call("study", "export", "one", "--to", "one.csv").exit_code == 0
    with (home / "one.csv").open(encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["state"] for row in rows] == ["complete", "pruned", "running", "waiting"]
    first = rows[0]
    assert (first["value"], first["step.1"], first["step.2"]) == ("0.75", "0.5", "inf")
    assert (first["constraint.memory_gib"], first["user.seconds"]) == ("-0.25", "1.5")
    assert rows[1]["cause"] == "oom"
    assert float(first["param.training.learning_rate"]) > 0


def test_rename_moves_file_trials_and_what_remembers_the_path(home: Path) -> None:
    outcome = home / "studies" / "one" / "final" / "outcome.json"
    outcome.parent.mkdir()
    outcome.write_text(json.dumps({"model_dir": "studies/one/final/model", "other": "studies/one-more"}))
    result = call("study", "rename", "one", "two")
    assert result.exit_code == 0, result.output
    assert "moved studies/one.db to studies/two.db" in result.output
    assert "moved studies/one to studies/two" in result.output
    assert len(trials("two")) == 4
    assert sorted(path.name for path in (home / "studies").iterdir()) == ["two", "two.db"]
    found = json.loads((home / "studies" / "two" / "final" / "outcome.json").read_text())
    assert found == {"model_dir": "studies/two/final/model", "other": "studies/one-more"}


def test_rename_follows_a_model_that_the_storage_knows_of(home: Path) -> None:
    url = sqlite_url(Path("studies/one.db"))
    optuna.create_study(storage=url, study_name="other")  # the file is not the study's own
    model = home / "studies" / "one" / "final" / "model"
    model.mkdir(parents=True)
    study = optuna.load_study(study_name="one", storage=url)
    elsewhere = Whereabouts("elsewhere", str(model), "key")
    note(study, elsewhere, of="its trials")
    note(study, made_here(Path("studies/one"), str(model), made_from="key"), of="its trials")
    result = call("study", "rename", "one", "two", "--storage", url)
    assert result.exit_code == 0, result.output
    renamed = optuna.load_study(study_name="two", storage=url)
    found = models(renamed, directory=Path("studies/two"))
    assert found[0] == elsewhere
    assert found[1].model_dir == str(home / "studies" / "two" / "final" / "model")


def test_rename_takes_no_name_that_is_taken(home: Path) -> None:
    (home / "studies" / "two").mkdir()
    before = picture(home)
    result = call("study", "rename", "one", "two")
    assert result.exit_code == 2
    assert "there is a study two already" in result.output
    assert picture(home) == before


def test_rename_takes_no_name_of_another_study_in_a_shared_file(home: Path) -> None:
    for name in ("one", "two"):
        optuna.create_study(storage="sqlite:///many.db", study_name=name)
    before = picture(home)
    result = call("study", "rename", "one", "two", "--storage", "sqlite:///many.db")
    assert result.exit_code == 2
    assert "there is a study two already" in result.output
    assert picture(home) == before
    assert call("study", "show", "one").exit_code == 0


def test_a_file_that_is_not_named_after_its_study_keeps_its_name(home: Path) -> None:
    optuna.create_study(storage="sqlite:///lab.db", study_name="one")
    result = call("study", "rename", "one", "two", "--storage", "sqlite:///lab.db")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == ["one is now two", "moved studies/one to studies/two"]
    assert call("study", "show", "two", "--storage", "sqlite:///lab.db").exit_code == 0


def test_delete_asks_and_takes_everything(home: Path) -> None:
    refused = call("study", "delete", "one")
    assert refused.exit_code == 2
    assert "--yes" in refused.output
    assert len(trials("one")) == 4
    result = call("study", "delete", "one", "--yes")
    assert result.exit_code == 0, result.output
    assert "the directory studies/one" in result.output
    assert list((home / "studies").iterdir()) == []


def test_what_delete_would_take_is_told_whole_in_the_user_s_language(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CP_SEARCH_LANG", "zh-TW")
    told = call("study", "delete", "one", "--yes").output
    assert re.search(r"將會刪除：搜尋 one，4 個試驗，在 sqlite:///studies/one\.db", told), told
    assert re.search(r"將會刪除：目錄 studies/one（.*：\d+ 個試驗(與最終模型)?）", told), told


@pytest.mark.parametrize("lock", [STUDY_LOCK, FINISH_LOCK, f"final/experiment/{CHILD_LOCK}"])
@pytest.mark.parametrize("words", [["rename", "one", "two"], ["delete", "one", "--yes"]], ids=" ".join)
def test_a_study_somebody_works_on_is_left_alone(home: Path, words: list[str], lock: str) -> None:
    held = home / "studies" / "one" / lock
    held.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(held):
        result = call("study", *words)
    assert result.exit_code == 2
    assert "somebody works on study one" in result.output
    assert len(trials("one")) == 4


@pytest.mark.parametrize("served", [False, True], ids=["a worker that holds no trial", "a server"])
@pytest.mark.parametrize("words", [["rename", "one", "two"], ["delete", "one", "--yes"]], ids=" ".join)
def test_a_file_that_somebody_uses_is_left_alone(home: Path, words: list[str], served: bool) -> None:
    with tenant(sqlite_url(Path("studies/one.db")), home=None if served else Path("studies")):
        result = call("study", *words)
    user = (
        "studies/one.db is served by cp-search storage serve"
        if served
        else f"a worker uses studies/one.db, with its trials in {home / 'studies'}"
    )
    assert result.exit_code == 2
    assert result.output.strip().endswith(f"{user}; end that first")
    assert len(trials("one")) == 4
    assert call("study", *words).exit_code == 0


@pytest.mark.parametrize("words", [["rename", "one", "two"], ["delete", "one", "--yes"]], ids=" ".join)
def test_a_study_whose_finish_another_machine_is_at_is_left_alone(home: Path, words: list[str]) -> None:
    study = optuna.load_study(study_name="one", storage=sqlite_url(Path("studies/one.db")))
    storage = study._storage
    storage.set_study_system_attr(study._study_id, FINISH_MARK, ["elsewhere:boot:4026:1:x", 7])
    before = picture(home)
    result = call("study", *words)
    assert result.exit_code == 2
    assert "a worker on elsewhere may be making the final model of study one" in result.output
    assert picture(home) == before


def test_an_imported_study_is_finished_by_nobody_and_has_no_model_elsewhere(home: Path) -> None:
    study = optuna.load_study(study_name="one", storage=sqlite_url(Path("studies/one.db")))
    storage = study._storage
    storage.set_study_system_attr(study._study_id, FINISH_MARK, ["elsewhere:boot:4026:1:x", 7])
    note(study, Whereabouts("elsewhere", "/there/final/model", "key"), of="its trials")
    storage.set_study_system_attr(study._study_id, "cp_search:searched_s", 7.5)
    assert len(models(study, directory=Path("studies/one"))) == 1
    assert call("study", "export", "one", "--to", "one.json").exit_code == 0
    assert call("study", "import", "one.json", "--name", "again").exit_code == 0
    copy = optuna.load_study(study_name="again", storage=sqlite_url(Path("studies/again.db")))
    assert (finisher(copy), models(copy, directory=Path("studies/again"))) == (None, [])
    kept = copy._storage.get_study_system_attrs(copy._study_id)
    assert kept == {"cp_search:searched_s": 7.5, IMPORTING: False}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "onn"], "did you mean one?"),
        (["export", "one", "--to", "one.xlsx"], ".csv or .json"),
        (["export", "one", "--to", "nowhere/one.csv"], "no directory nowhere"),
        (["import", "missing.json"], "cannot read missing.json"),
        (["import", "text.json"], "is no JSON"),
        (["import", "other.json"], "holds no study"),
        (["import", "good.json"], "there is a study one already"),
        (["import", "good.json", "--name", "../x"], "cannot name a file"),
        (["rename", "one", "a/b"], "cannot name a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_user_can_mend_is_one_line(home: Path, words: list[str], said: str) -> None:
    (home / "text.json").write_text("my notes")
    (home / "other.json").write_text("{}")
    call("study", "export", "one", "--to", "good.json")
    before = picture(home)
    result = call("study", *words)
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert picture(home) == before
