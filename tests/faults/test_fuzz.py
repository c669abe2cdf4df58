"""The fuzz of kills can fail: of a study that is spoiled in one way it finds just that."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from search.engine.inline import InlineEngine
from search.study import open_study
from search.worker import Workplace, search
from tests.faults.fuzz import TRIALS, Case, faults_of, orphans, space_text, without_pauses
from tests.search.fakes import Bench, Listener

SEED = 7


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a study that nobody killed."""
    bench = Bench(tmp_path_factory.mktemp("ended"))
    handle = open_study(bench.space(space_text(SEED)), storage_url=bench.url)
    search(handle, workplace=Workplace(bench.directory, InlineEngine(), Listener(), make_job=without_pauses))
    return bench.home


@pytest.fixture
def home(ended: Path, tmp_path: Path) -> Path:
    """The same, to be spoiled."""
    return Path(shutil.copytree(ended, tmp_path / "home"))


def leave_a_checkpoint(bench: Bench) -> None:
    left = bench.directory / "trial-0003" / "checkpoints" / "last"
    left.parent.mkdir(exist_ok=True)
    left.write_text("2")


def leave_half_a_file(bench: Bench) -> None:
    (bench.directory / "trial-0003" / ".outcome.json.99.tmp").write_text("{")


def tear_an_outcome(bench: Bench) -> None:
    outcome = bench.directory / "trial-0002" / "outcome.json"
    outcome.write_text(outcome.read_text(encoding="utf-8")[:40], encoding="utf-8")


def tear_a_line(bench: Bench) -> None:
    with (bench.directory / "trial-0002" / "reports.jsonl").open("a") as lines:
        lines.write('{"step": ')


def add_a_trial(bench: Bench) -> None:
    study = bench.open(space_text(SEED)).study
    study.tell(study.ask(), 0.5)


def leave_a_ghost(bench: Bench) -> None:
    bench.open(space_text(SEED)).study.ask()


def change_a_value(bench: Bench) -> None:
    with sqlite3.connect(bench.home / "fake.db") as database:
        database.execute("UPDATE trial_values SET value = value + 1e-9 WHERE trial_id = 1")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (leave_a_checkpoint, "left behind: trial-0003/checkpoints/last"),
        (leave_half_a_file, "left behind: trial-0003/.outcome.json.99.tmp"),
        (tear_an_outcome, "torn: trial-0002/outcome.json"),
        (tear_a_line, "torn: trial-0002/reports.jsonl"),
        (add_a_trial, f"{TRIALS} trials were asked for"),
        (leave_a_ghost, f"{TRIALS} trials were asked for"),
    ],
)
def test_the_fuzz_finds_what_is_wrong(home: Path, spoil: Callable[[Bench], None], words: str) -> None:
    spoil(Bench(home))
    (fault,) = faults_of(Case(home, seed=SEED, jobs=2, kills=0))
    assert fault.startswith(words)


@pytest.mark.slow
def test_the_fuzz_finds_a_value_that_a_study_nobody_killed_would_not_have(home: Path) -> None:
    change_a_value(Bench(home))
    (fault,) = faults_of(Case(home, seed=SEED, jobs=1, kills=0))
    assert fault.startswith("trial 0: value is")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    yield process
    process.communicate()


@pytest.mark.slow
def test_the_fuzz_finds_a_process_that_outlived_its_worker(sleeper: subprocess.Popen[bytes]) -> None:
    (found,) = orphans([sleeper.pid])
    assert str(sleeper.pid) in found
