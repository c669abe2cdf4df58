"""Death in commands that look after studies, or begin one with another: typed again they are completed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from search.catalog import Catalog
from search.fork import fork, warm_start
from search.importing import mark
from search.objective import suggest
from search.renaming import Renaming
from search.space import Space, load_space
from search.storage.storage import quiet_optuna
from search.storage.url import sqlite_url
from search.study import StudyHandle, open_study
from search.verdict import Verdict
from search.worker import tell
from tests.faults.deaths import deaths
from tests.search.cli.typed import call
from trainer import ConfigError, UserError

#: a file that holds several studies, which no command names or deletes as a whole
MANY = ("--storage", "sqlite:///many.db")


def succeed(*words: str) -> None:
    """In a process that is to die."""
    result = call(*words)
    if result.exit_code != 0:
        raise AssertionError(result.output)


def fill(storage: str, name: str, *, trials: int = 2) -> None:
    """A study with trials that ended."""
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize")
    for number in range(trials):
        trial = study.ask()
        trial.suggest_float("training.learning_rate", 1e-5, 1e-3)
        trial.set_user_attr("seconds", 1.5)
        study.tell(trial, 0.5 + number / 10)
    study.set_user_attr("cp_search", "{}")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`studies/one.db` and its directory; `many.db`, a file that two studies share."""
    quiet_optuna()
    home = tmp_path / "home"
    model = home / "studies" / "one" / "final" / "model"
    model.mkdir(parents=True)
    monkeypatch.chdir(home)
    (model / "weights").write_text("weights")
    (home / "studies/one/final/outcome.json").write_text(json.dumps({"model_dir": "studies/one/final/model"}))
    origin = {"name": "one", "storage": sqlite_url(home / "studies/one.db"), "space": "one.yaml"}
    (home / "studies/one/origin.json").write_text(json.dumps(origin | {"settings": {}}))
    fill(sqlite_url(Path("studies/one.db")), "one")
    for name in ("one", "other"):
        fill(sqlite_url(Path("many.db")), name)
    return home


def picture(home: Path) -> Mapping[str, str]:
    """What lies below `home`; of a database the studies and how many trials each has."""
    return {
        str(path.relative_to(home)): _studies(path) if path.suffix == ".db" else path.read_text()
        for path in sorted(home.rglob("*"))
        if path.is_file()
    }


def _studies(path: Path) -> str:
    summaries = optuna.get_all_study_summaries(sqlite_url(path))
    return repr(sorted((one.study_name, one.n_trials, one.user_attrs) for one in summaries))


def unbroken(home: Path, *words: str) -> Mapping[str, str]:
    """What the command makes of `home` when nothing happens."""
    kept = home.with_name("before")
    shutil.copytree(home, kept)
    succeed(*words)
    made = picture(home)
    for path in home.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(kept, home, dirs_exist_ok=True)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("storage", [(), MANY], ids=["its own file", "a shared file"])
def test_a_renaming_cut_off_anywhere_is_completed_by_the_same_command(
    home: Path, storage: tuple[str, ...]
) -> None:
    words = ("study", "rename", "one", "two", *storage)
    wanted, before = unbroken(home, *words), picture(home)
    for _ in deaths(home, lambda: succeed(*words)):
        if not (home / "studies" / ".renaming.json").exists():
            assert {name for name in picture(home) if not is_passing(name)} in (set(before), set(wanted))
            if "two" in call("study", "list", *storage).output:
                continue  # it was done
        else:
            for name in ("one", "two"):
                refused = call("study", "show", name, *storage)
                assert refused.exit_code == 2
                assert "type cp-search study rename one two again" in refused.output
        succeed(*words)
        assert {name: text for name, text in picture(home).items() if not is_passing(name)} == wanted


def is_passing(name: str) -> bool:
    """Of a file that was being written, or whose users were kept away."""
    return ".tmp" in name or name.endswith(".users/door")


@pytest.mark.slow
@pytest.mark.parametrize("storage", [(), MANY], ids=["its own file", "a shared file"])
def test_a_deletion_cut_off_anywhere_is_completed_by_the_same_command(
    home: Path, storage: tuple[str, ...]
) -> None:
    words = ("study", "delete", "one", "--yes", *storage)
    wanted = unbroken(home, *words)
    files = {path.relative_to(home) for path in (home / "studies" / "one").rglob("*")}
    for _ in deaths(home, lambda: succeed(*words)):
        there = {path.relative_to(home) for path in (home / "studies" / "one").rglob("*")}
        assert there in (set(), files), "half of a directory would be taken for the study's"
        again = call(*words)
        assert again.exit_code == 0 or "no study one" in again.output
        assert {name: text for name, text in picture(home).items() if not is_passing(name)} == wanted
        assert [path for path in (home / "studies").iterdir() if path.is_dir()] == []


@pytest.mark.slow
@pytest.mark.parametrize("storage", [(), MANY], ids=["its own file", "a shared file"])
def test_an_import_cut_off_anywhere_is_completed_by_the_same_command_and_never_looks_whole(
    home: Path, storage: tuple[str, ...]
) -> None:
    succeed("study", "export", "one", "--to", "one.json")
    words = ("study", "import", "one.json", "--name", "again", *storage)
    wanted = unbroken(home, *words)
    for _ in deaths(home, lambda: succeed(*words)):
        shown = call("study", "show", "again", "--json", *storage)
        whole = shown.exit_code == 0 and json.loads(shown.output)["trials"] != {}
        if whole:
            assert picture(home) == wanted
            continue
        assert shown.exit_code == 0 or len(shown.output.strip().splitlines()) == 1
        succeed(*words)
        assert picture(home) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_an_export_cut_off_anywhere_leaves_no_file_and_is_made_by_the_same_command(
    home: Path, kind: str
) -> None:
    words = ("study", "export", "one", "--to", f"one.{kind}")
    wanted = unbroken(home, *words)
    for _ in deaths(home, lambda: succeed(*words)):
        assert not (home / f"one.{kind}").exists()
        succeed(*words)
        assert {name: text for name, text in picture(home).items() if ".tmp" not in name} == wanted


SOURCE = """
name: good
base: fast_dev
set: {model.name: builtin:tiny}
search:
  training.learning_rate: {type: float, low: 1.0e-5, high: 1.0e-3, log: true}
budget: {trials: 4}
"""
#: what still fits are measured trials; or, as another setting differs, points to be tried again
CHANGED = {
    "trials": SOURCE.replace("1.0e-3", "9.0e-4"),
    "points": SOURCE.replace("builtin:tiny", "builtin:tiny, training.num_epochs: 2"),
}


def space_of(home: Path, text: str) -> Space:
    """The space in a file of that text."""
    (home / "good.yaml").write_text(text + "enqueue: [{training.learning_rate: 1.0e-4}]\n")
    return load_space(str(home / "good.yaml"))


def begun(space: Space, *, by: str, home: Path) -> StudyHandle:
    """The study that `cp-search run` with the flag searches, as it opens it."""
    catalog = Catalog(home / "studies")
    flagged = replace(space, name="next") if by == "--warm-start" else space
    descent = (
        fork(flagged, name=None, catalog=catalog) if by == "--fork" else warm_start(flagged, "good", catalog)
    )
    url = catalog.url_for(descent.space.name)
    return open_study(descent.space, storage_url=url, carry=descent.carry(card=None))


def contents(handle: StudyHandle) -> list[tuple[str, object, object]]:
    """Its trials, without when they were made."""
    return sorted(
        (trial.state.name, repr(trial.params), repr(trial.system_attrs.get("fixed_params")))
        for trial in handle.trials()
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(CHANGED))
@pytest.mark.parametrize("by", ["--fork", "--warm-start"])
def test_a_study_begun_with_another_and_cut_off_anywhere_is_completed_by_the_same_command(
    tmp_path: Path, by: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever was making the study is dead: nothing is waited for.
    monkeypatch.setattr("search.study._STILL_LOOKS", 0)
    home = tmp_path / "home"
    (home / "studies").mkdir(parents=True)
    handle = open_study(space_of(home, SOURCE), storage_url=sqlite_url(home / "studies/good.db"))
    for value in (0.5, 0.6, 0.7):
        trial = handle.study.ask()
        suggest(trial, handle.space)
        tell(handle, trial, Verdict(TrialState.COMPLETE, value=value))
    space = space_of(home, CHANGED[kind])
    unbroken = home.with_name("unbroken")
    shutil.copytree(home, unbroken)
    wanted = contents(begun(space, by=by, home=unbroken))
    assert len(wanted) > 2
    for _ in deaths(home, lambda: ignore(begun(space, by=by, home=home))):
        assert contents(begun(space, by=by, home=home)) == wanted
        assert len(list((home / "studies").glob("*.db"))) == 2


def ignore(_made: object) -> None:
    """What comes of it is looked at from outside."""


def test_a_study_whose_import_was_cut_off_is_not_searched_and_not_shown_as_whole(home: Path) -> None:
    study = optuna.load_study(study_name="one", storage=sqlite_url(Path("studies/one.db")))
    mark(study, importing=True)
    space = replace(space_of(home, SOURCE), name="one")
    with pytest.raises(ConfigError, match="its import was cut off: type the same") as refused:
        open_study(space, storage_url=sqlite_url(Path("studies/one.db")))
    assert "--fork" not in str(refused.value), "which is refused as well"
    assert call("study", "list").output.startswith("one: half imported; ")
    result = call("report", "one")
    assert result.exit_code == 2
    assert "the import of study one was cut off" in result.output
    assert call("study", "delete", "one", "--yes").exit_code == 0


def test_a_half_renamed_study_is_not_searched(home: Path) -> None:
    leave_half_renamed(home, storage="sqlite:///studies/one.db", owns_file=True)
    space_of(home, SOURCE)
    for name in ("one", "two"):
        result = call("run", "good.yaml", "--name", name)
        assert result.exit_code == 2
        assert result.output.strip().splitlines()[-1].endswith("type cp-search study rename one two again")
    assert call("retrain", "two").exit_code == 2
    assert call("study", "rename", "one", "two").exit_code == 0
    assert (home / "studies/two/final/model/weights").exists()


def leave_half_renamed(home: Path, *, storage: str, owns_file: bool) -> None:
    """What a renaming of `one` to `two` leaves that died as soon as it had said what is to be done."""
    record = {"old": "one", "to": "two", "storage_url": storage, "owns_file": owns_file}
    (home / "studies/.renaming.json").write_text(json.dumps(record))


@pytest.mark.parametrize("shared", [False, True], ids=["its own file", "a shared file"])
def test_a_renaming_that_was_cut_off_is_completed_from_another_directory(
    home: Path, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died(_renaming: Renaming, _url: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(Renaming, "_in_storage", died)
        assert call("study", "rename", "one", "two", *(MANY if shared else ())).exit_code == 130
    assert (home / "studies" / ".renaming.json").exists()
    monkeypatch.chdir(home.parent)
    result = call("study", "rename", "one", "two", "--studies-dir", str(home / "studies"))
    assert result.exit_code == 0, result.output
    found = home / ("many.db" if shared else "studies/two.db")
    assert "'two'" in _studies(found)
    assert "'one'" not in _studies(found)
    assert (home / "studies/two/final/model/weights").exists()
    assert not (home / "studies" / ".renaming.json").exists()
    assert (home / "studies/one.db").exists() is shared


def test_a_name_that_was_taken_while_a_study_is_renamed_leaves_it_as_it_was(home: Path) -> None:
    before = picture(home)
    renaming = Renaming("one", "other", home / "studies", sqlite_url(home / "many.db"))
    with pytest.raises(UserError, match="there is a study other already"):
        renaming.carry_out()
    assert picture(home) == before
