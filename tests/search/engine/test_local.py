"""Jobs in child processes: what they say, what they leave, how they end."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from search.engine.base import Call, run_calls
from search.engine.local import START_METHOD, LocalEngine, death
from tests.search.fakes import Scripted, end_by_signal, end_by_user_error
from trainer import Observer, Report, UserError

PRELOAD = ("tests.search.fakes",)


class Watcher:
    """An observer that keeps what it hears and may ask to end."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[tuple[int, int, str]] = []
        self.reports: list[tuple[int, dict[str, float]]] = []
        self.stop = False

    def say(self, line: str) -> None:
        self.lines.append(line)
        self.stop = self.stop or line == "waiting"

    def progress(self, done: int, total: int, status: str) -> None:
        self.steps.append((done, total, status))

    def interrupted(self) -> bool:
        return self.stop

    def report(self, step: int, metrics: Any) -> bool:
        self.reports.append((step, dict(metrics)))
        return step == 3


@dataclass(frozen=True)
class Facts:
    """What a job can tell about its process."""

    status: str
    pid: int
    environment: dict[str, Any] = field(default_factory=dict)
    number: float = float("nan")


@dataclass(frozen=True)
class Talker:
    """Says, progresses, and tells about its process."""

    directory: str

    def run(self, observer: Observer, report: Report) -> Facts:
        """Talk."""
        observer.say("你好")
        observer.progress(1, 2, "half")
        return Facts("completed", os.getpid(), {"torch": "torch" in sys.modules, "cwd": str(Path.cwd())})


@pytest.fixture(params=["forkserver", "spawn"])
def engine(request: pytest.FixtureRequest) -> LocalEngine:
    return LocalEngine(preload=PRELOAD, start_method=request.param)


def test_a_job_runs_in_a_process_of_its_own_and_its_result_comes_back(
    engine: LocalEngine, tmp_path: Path
) -> None:
    watcher = Watcher()
    result = engine.run(Talker(str(tmp_path)), observer=watcher, report=watcher.report)
    assert result["pid"] != os.getpid()
    assert result["environment"]["cwd"] == str(Path.cwd())
    assert watcher.lines == ["你好"]
    assert watcher.steps == [(1, 2, "half")]


def test_the_answer_to_a_report_stops_the_job(engine: LocalEngine, tmp_path: Path) -> None:
    watcher = Watcher()
    job = Scripted(str(tmp_path), values=(0.1, 0.2, 0.3, 0.4))
    result = engine.run(job, observer=watcher, report=watcher.report)
    assert result["status"] == "stopped"
    assert [step for step, _ in watcher.reports] == [1, 2, 3]


def run(job: Any, watcher: Watcher | None = None) -> dict[str, Any]:
    watcher = watcher or Watcher()
    return LocalEngine(preload=PRELOAD).run(job, observer=watcher, report=watcher.report)


def test_numbers_that_json_does_not_have_become_null(tmp_path: Path) -> None:
    assert run(Talker(str(tmp_path)))["number"] is None


def test_an_observer_that_says_so_makes_the_job_save_itself_and_end(tmp_path: Path) -> None:
    job = Scripted(str(tmp_path), waits=True)
    assert run(job)["status"] == "interrupted"
    assert run(job)["status"] == "completed"


def test_what_an_earlier_attempt_left_is_never_taken_for_the_new_result(tmp_path: Path) -> None:
    assert run(Scripted(str(tmp_path), values=()))["status"] == "completed"
    result = run(Scripted(str(tmp_path), values=(), after=end_by_signal))
    assert result["status"] == "failed"
    assert result["error_kind"] == "lost"


def test_a_users_error_is_told_apart_from_a_crash(tmp_path: Path) -> None:
    result = run(Scripted(str(tmp_path), after=end_by_user_error))
    assert result["error_kind"] == "user"
    assert result["error"] == "no model here; download it first"
    assert not (tmp_path / "error.txt").exists()


def test_a_job_that_leaves_no_dataclass_is_a_crash(tmp_path: Path) -> None:
    result = run(Nothing(str(tmp_path)))
    assert result["error_kind"] == "crash"


@dataclass(frozen=True)
class Nothing:
    """Forgets its result."""

    directory: str

    def run(self, observer: Observer, report: Report) -> Any:
        """Nothing."""
        return


def test_an_error_on_this_side_makes_the_child_save_itself_and_end(tmp_path: Path) -> None:
    def broken(step: int, metrics: Any) -> bool:
        raise OSError("the storage is gone")

    started = time.monotonic()
    with pytest.raises(OSError, match="the storage is gone"):
        LocalEngine(preload=PRELOAD).run(
            Scripted(str(tmp_path), waits=True), observer=Watcher(), report=broken
        )
    assert time.monotonic() - started < 20
    assert json.loads((tmp_path / "outcome.json").read_text())["status"] == "interrupted"
    assert run(Scripted(str(tmp_path), values=(0.5, 0.6)))["status"] == "completed"


@pytest.mark.parametrize("at_once", [1, 2, 9])
def test_several_jobs_run_side_by_side_and_their_results_keep_their_order(
    tmp_path: Path, at_once: int
) -> None:
    watcher = Watcher()
    calls = [Call(Scripted(str(tmp_path / str(n)), values=(n / 10,)), watcher) for n in range(5)]
    results = run_calls(LocalEngine(preload=PRELOAD), calls, at_once=at_once)
    assert [result and result["best_metrics"]["eval_f1_macro"] for result in results] == [
        0.0,
        0.1,
        0.2,
        0.3,
        0.4,
    ]


def test_of_several_jobs_those_whose_turn_had_not_come_are_not_started_after_a_stop(tmp_path: Path) -> None:
    watcher = Watcher()
    calls = [Call(Scripted(str(tmp_path / str(n)), waits=True), watcher) for n in range(3)]
    first, *others = run_calls(LocalEngine(preload=PRELOAD), calls, at_once=1)
    assert first is not None
    assert first["status"] == "interrupted"
    assert others == [None, None]


def test_an_error_on_this_side_lets_all_of_several_jobs_save_themselves(tmp_path: Path) -> None:
    def broken(step: int, metrics: Any) -> bool:
        raise OSError("the storage is gone")

    calls = [Call(Scripted(str(tmp_path / str(n)), waits=True), Watcher(), broken) for n in range(2)]
    with pytest.raises(OSError, match="the storage is gone"):
        run_calls(LocalEngine(preload=PRELOAD), calls, at_once=2)
    for n in range(2):
        assert run(Scripted(str(tmp_path / str(n)), waits=True))["status"] in ("interrupted", "completed")


def test_a_start_method_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(START_METHOD, "fork")
    with pytest.raises(UserError, match=f"{START_METHOD}=fork: use forkserver"):
        LocalEngine()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-9, "killed by signal 9 (out of host memory?)"),
        (-11, "killed by signal 11 (SIGSEGV)"),
        (3, "its process ended with code 3 and left no outcome"),
    ],
)
def test_a_death_is_put_in_words(code: int, words: str) -> None:
    assert death(code) == words


def test_every_child_is_a_fresh_process(tmp_path: Path) -> None:
    pids = {run(Talker(str(tmp_path)))["pid"] for _ in range(3)}
    assert len(pids) == 3
