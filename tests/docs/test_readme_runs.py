"""README's commands work, as they stand there, on a small study of the name they speak of."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.docs.test_readme import commands
from tests.search.cli.test_bad_input import SPACE
from tests.search.cli.test_whole import call
from trainer import write_sample

pytestmark = pytest.mark.slow

#: what README leaves for the reader to put in
PLACES = {"DIR": "studies/quickstart/final/model", "FILE": "train.jsonl"}
#: beginnings of commands that name an encoder of the hub -> words that put a tiny one in its place
TINY = {
    "train --config configs/default.yaml": "--model-name builtin:tiny --num-epochs 1",
    "run spaces/rtx3050.yaml": "--set model.name=builtin:tiny --dry-run",
    "init": "--model builtin:tiny --card cpu",
}
#: beginnings of commands that are not run here, and why
ELSEWHERE = {
    "dashboard": "serves until it is stopped: tests/search/test_dashboard.py",
    "tensorboard": "serves until it is stopped: tests/search/test_tensorboard.py",
    "storage serve": "serves until it is stopped: tests/search/storage/test_storages.py",
    "run SPACE": "any space: tests/search/test_many_workers.py",
    "data import cold": "needs COLD: tests/trainer/data/test_importers.py",
}
#: these take minutes as they stand; what they would do is shown
SHOWN_ONLY = ("run spaces/quickstart.yaml", "run quickstart --single-run")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with rows, the bundled files, and a finished study `quickstart`."""
    home = tmp_path_factory.mktemp("readme")
    write_sample(home / "data", rows=300, seed=1)
    for split in ("train", "val", "test"):
        shutil.copy(home / "data" / f"{split}.jsonl", home / f"{split}.jsonl")
    for name in ("configs", "spaces"):
        shutil.copytree(ROOT / name, home / name)
    space = {**SPACE, "name": "quickstart", "finish": {"set": {"training.num_epochs": 1}}}
    (home / "small.yaml").write_text(yaml.safe_dump(space, sort_keys=False), encoding="utf-8")
    code, _, err = call(home, "run", "small.yaml")
    assert code == 0, err
    return home


def as_typed() -> list[str]:
    """README's commands, each once, but for those that are run elsewhere."""
    found = dict.fromkeys(" ".join(words) for words in [*commands("README.md"), *commands("README.zh-TW.md")])
    return [line for line in found if not any(line.startswith(start) for start in ELSEWHERE)]


@pytest.mark.parametrize("line", as_typed())
def test_a_command_of_the_readme_works(line: str, project: Path, tmp_path: Path) -> None:
    words = [str(tmp_path / "out") if word == "OUT" else PLACES.get(word, word) for word in line.split()]
    if line.startswith("export"):
        words[-1] = str(tmp_path / "exported")
    if line in SHOWN_ONLY:
        words.append("--dry-run")
    words += next((tiny.split() for start, tiny in TINY.items() if line.startswith(start)), [])
    code, out, err = call(project, *words)
    assert code == 0, err
    assert out


def test_what_is_treated_apart_is_still_in_the_readme() -> None:
    lines = [" ".join(words) for words in commands("README.md")]
    assert [start for start in [*ELSEWHERE, *TINY] if not any(line.startswith(start) for line in lines)] == []
