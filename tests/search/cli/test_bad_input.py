"""What a user gets wrong: one line with place and remedy, exit code 2, nothing created or changed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import CommandLine, picture
from trainer import write_sample

SPACE: dict[str, Any] = {
    "name": "good",
    "base": "fast_dev",
    "set": {
        "model.name": "builtin:tiny",
        "data.train_path": "data/train.jsonl",
        "data.val_path": "data/val.jsonl",
        "data.test_path": "data/test.jsonl",
        "data.cache_dir": "cache",
        "training.num_epochs": 1,
    },
    "search": {"training.learning_rate": {"type": "float", "low": 1e-4, "high": 1e-3, "log": True}},
    "budget": {"trials": 1},
}

Spoil = Callable[[dict[str, Any], Path], None]


@dataclass(frozen=True)
class Case:
    """`spoil` makes a good project bad; the one line on stderr then holds all of `words`."""

    name: str
    spoil: Spoil
    words: tuple[str, ...]
    arguments: tuple[str, ...] = ()


def dimension(**changes: Any) -> Spoil:
    def spoil(space: dict[str, Any], _: Path) -> None:
        space["search"]["training.learning_rate"] |= changes

    return spoil


def setting(key: str, value: Any) -> Spoil:
    return lambda space, _: space["set"].update({key: value})


def top(key: str, value: Any) -> Spoil:
    return lambda space, _: space.update({key: value})


def rows(file: str, change: Callable[[dict[str, Any]], None]) -> Spoil:
    """Change every row of a data file, the first one most visibly."""

    def spoil(_: dict[str, Any], project: Path) -> None:
        path = project / "data" / file
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for row in found:
            change(row)
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        path.write_text(text, encoding="utf-8")

    return spoil


def log_of_zero(space: dict[str, Any], _: Path) -> None:
    space["search"]["training.weight_decay"] = {"type": "float", "low": 0.0, "high": 0.1, "log": True}


def single_task(label: Any) -> Callable[[dict[str, Any]], None]:
    """Turn a row with four tasks into one with a single label."""

    def change(row: dict[str, Any]) -> None:
        text = row["text"]
        row.clear()
        row.update({"text": text, "labels": label})

    return change


def not_json(_: dict[str, Any], project: Path) -> None:
    (project / "data/train.jsonl").write_text("text,labels\n你好,0\n", encoding="utf-8")


def no_model(space: dict[str, Any], project: Path) -> None:
    (project / "model").mkdir()
    (project / "model/readme.txt").write_text("weights to follow", encoding="utf-8")
    space["set"]["model.name"] = "./model"


def under_a_file(_: dict[str, Any], project: Path) -> None:
    (project / "a-file").write_text("in the way", encoding="utf-8")


# The line and column are where the fault stands in the file that `write_space` writes.
IN_THE_SPACE = [
    Case("unknown key", top("serch", {}), ("space.yaml:", "serch", "search")),
    Case("unknown setting", setting("training.lr", 1e-4), ("space.yaml:", "training.lr")),
    Case(
        "wrong type", setting("training.num_epochs", "three"), ("space.yaml:", "training.num_epochs", "three")
    ),
    Case("number as text", setting("training.num_epochs", "3"), ("space.yaml:", "training.num_epochs")),
    Case("empty search", top("search", {}), ("space.yaml:", "search")),
    Case("low above high", dimension(low=0.1, high=0.01), ("space.yaml:", "low", "high")),
    Case("log of zero", log_of_zero, ("space.yaml:", "low", "log")),
]
IN_THE_DATA = [
    Case(
        "missing data file", setting("data.train_path", "data/no.jsonl"), ("data/no.jsonl", "data.train_path")
    ),
    Case("not JSON", not_json, ("data/train.jsonl:1", "JSON")),
    Case(
        "label out of range", rows("train.jsonl", single_task(7)), ("data/train.jsonl:1", "7", "num_labels")
    ),
    Case("one class only", rows("train.jsonl", single_task(1)), ("data/train.jsonl", "one class")),
]
ELSEWHERE = [
    Case("no model", no_model, ("model", "config.json")),
    Case("unwritable studies", under_a_file, ("a-file",), ("--studies-dir", "a-file/studies")),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with a good space's data."""
    write_sample(tmp_path / "data", rows=300, seed=1)
    return tmp_path


def write_space(project: Path, space: dict[str, Any]) -> None:
    (project / "space.yaml").write_text(yaml.safe_dump(space, sort_keys=False), encoding="utf-8")


def spoiled(case: Case, project: Path) -> None:
    space = yaml.safe_load(yaml.safe_dump(SPACE))
    case.spoil(space, project)
    write_space(project, space)


def named(case: Case) -> str:
    return case.name


def require_one_line(result: subprocess.CompletedProcess[str], words: tuple[str, ...]) -> None:
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert [word for word in words if word not in result.stderr] == [], result.stderr


def refuses(call: CommandLine, case: Case, project: Path, *arguments: str) -> None:
    spoiled(case, project)
    before = picture(project)
    require_one_line(call("run", "space.yaml", *arguments), case.words)
    assert picture(project) == before


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
@pytest.mark.parametrize("case", [*IN_THE_SPACE, *IN_THE_DATA, *ELSEWHERE], ids=named)
def test_a_search_says_what_is_wrong_and_touches_nothing(
    case: Case, project: Path, cp_search_here: CommandLine
) -> None:
    refuses(cp_search_here, case, project, *case.arguments)


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
@pytest.mark.parametrize("case", [*IN_THE_DATA, ELSEWHERE[0]], ids=named)
def test_a_single_run_says_what_is_wrong_and_touches_nothing(
    case: Case, project: Path, cp_search_here: CommandLine
) -> None:
    refuses(cp_search_here, case, project, "--single-run")


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("--single-run",)], ids=" ".join)
@pytest.mark.parametrize("case", [IN_THE_SPACE[0], IN_THE_DATA[-1]], ids=named)
def test_nor_do_the_libraries_of_a_process_of_its_own_add_a_line(
    case: Case, arguments: tuple[str, ...], project: Path, cp_search: CommandLine
) -> None:
    refuses(cp_search, case, project, *arguments)


@pytest.mark.slow
def test_a_study_keeps_its_space(project: Path, cp_search: CommandLine) -> None:
    write_space(project, SPACE)
    first = cp_search("run", "space.yaml", "--no-finish")
    assert first.returncode == 0, first.stderr
    # A wider range would go on; of a narrower one the trials there are could not have come.
    narrower = yaml.safe_load(yaml.safe_dump(SPACE))
    narrower["search"]["training.learning_rate"]["high"] = 9e-4
    write_space(project, narrower)
    before = picture(project)
    result = cp_search("run", "space.yaml", "--no-finish")
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert "training.learning_rate" in result.stderr
    assert "name" in result.stderr
    assert picture(project) == before


LIGHT: list[tuple[list[str], tuple[str, ...]]] = [
    (["run", "quickstat"], ("quickstat", "quickstart")),
    (["run", "quickstart", "--time", "soon"], ("--time", "soon", "30m")),
    (["run", "quickstart", "--set", "training.lr"], ("training.lr", "=")),
    (["train", "--config", "nowhere.yaml"], ("nowhere.yaml",)),
    (["train", "--template", "fastdev", "--dry-run"], ("fastdev", "fast_dev")),
    (["predict", "nowhere"], ("--file",)),
    (["predict", "nowhere", "文字", "--file", "-"], ("1 text(s) beside --file -", "not both")),
    (["predict", "nowhere", "-", "--text-column", "body"], ("--text-column body", "standard input")),
    (["status", "nothing"], ("nothing",)),
    (["export", "nothing", "--to", "out"], ("nothing", "cp-search status")),
    (["retrain", "nothing"], ("nothing",)),
    (["data", "import", "cold", "nowhere", "out"], ("nowhere",)),
]
# These find the fault only after torch was imported.
HEAVY: list[tuple[list[str], tuple[str, ...]]] = [
    (["train", "--model-name", "builtin:tiny", "--set", "data.val_path=x"], ("data.train_path", "--set")),
    (["train", "--card", "rtx305"], ("rtx305", "rtx3050")),
    (["predict", "nowhere", "文字"], ("nowhere", "config.json")),
]


def typed(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else ""


@pytest.mark.parametrize(("arguments", "words"), LIGHT, ids=typed)
def test_a_wrong_argument_is_one_line(
    arguments: list[str], words: tuple[str, ...], cp_search_here: CommandLine, tmp_path: Path
) -> None:
    require_one_line(cp_search_here(*arguments), words)
    assert not picture(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "words"), [LIGHT[0], LIGHT[-1], *HEAVY], ids=typed)
def test_a_wrong_argument_is_one_line_of_a_process_of_its_own(
    arguments: list[str], words: tuple[str, ...], cp_search: CommandLine, tmp_path: Path
) -> None:
    require_one_line(cp_search(*arguments), words)
    assert not picture(tmp_path)
