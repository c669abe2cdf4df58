"""What every engine does: jobs in processes of their own, what they say, what they leave, how they end."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from search.engine.base import Call, Engine, run_calls
from tests.search.fakes import Scripted, end_by_exception, end_by_signal, end_by_user_error
from trainer import Observer, Report


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
        found = {"torch": "torch" in sys.modules, "cwd": str(Path.cwd()), "collects": gc.isenabled()}
        return Facts("completed", os.getpid(), found)


@dataclass(frozen=True)
class Nothing:
    """Forgets its result."""

    directory: str

    def run(self, observer: Observer, report: Report) -> Any:
        """Nothing."""
        return


class EngineContract:
    """Tests of one engine; a subclass says which."""

    @pytest.fixture
    def engine(self) -> Any:
        raise NotImplementedError

    @pytest.fixture
    def watcher(self) -> Watcher:
        return Watcher()

    def run(self, engine: Engine, job: Any, watcher: Watcher | None = None) -> dict[str, Any]:
        watcher = watcher or Watcher()
        return engine.run(job, observer=watcher, report=watcher.report)

    def test_a_job_runs_in_a_process_of_its_own_and_its_result_comes_back(
        self, engine: Engine, watcher: Watcher, tmp_path: Path
    ) -> None:
        result = self.run(engine, Talker(str(tmp_path)), watcher)
        assert result["pid"] != os.getpid()
        assert watcher.lines == ["你好"]
        assert watcher.steps == [(1, 2, "half")]
        assert result["number"] is None, "JSON has no NaN"
        assert json.loads((tmp_path / "outcome.json").read_text()) == result

    def test_the_answer_to_a_report_stops_the_job(
        self, engine: Engine, watcher: Watcher, tmp_path: Path
    ) -> None:
        job = Scripted(str(tmp_path), values=(0.1, 0.2, 0.3, 0.4))
        assert self.run(engine, job, watcher)["status"] == "stopped"
        assert [step for step, _ in watcher.reports] == [1, 2, 3]

    def test_an_observer_that_says_so_makes_the_job_save_itself_and_end(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        job = Scripted(str(tmp_path), waits=True)
        assert self.run(engine, job)["status"] == "interrupted"
        assert self.run(engine, job)["status"] == "completed"
        assert (tmp_path / "steps.log").read_text().split() == ["1", "2"]

    def test_what_an_earlier_attempt_left_is_never_taken_for_the_new_result(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        assert self.run(engine, Scripted(str(tmp_path), values=()))["status"] == "completed"
        result = self.run(engine, Scripted(str(tmp_path), values=(), after=end_by_signal))
        assert result["status"] == "failed"
        assert result["error_kind"] == "lost"

    def test_a_users_error_is_told_apart_from_a_crash(self, engine: Engine, tmp_path: Path) -> None:
        mendable = self.run(engine, Scripted(str(tmp_path), after=end_by_user_error))
        assert (mendable["error_kind"], mendable["error"]) == ("user", "no model here; download it first")
        assert not (tmp_path / "error.txt").exists()
        crashed = self.run(engine, Scripted(str(tmp_path), after=end_by_exception))
        assert (crashed["error_kind"], crashed["error"]) == ("crash", "ValueError: the encoder has a hole")
        assert "in end_by_exception" in (tmp_path / "error.txt").read_text()

    def test_a_job_that_leaves_no_dataclass_is_a_crash(self, engine: Engine, tmp_path: Path) -> None:
        assert self.run(engine, Nothing(str(tmp_path)))["error_kind"] == "crash"

    def test_an_error_on_this_side_makes_the_job_save_itself_and_end(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        def broken(step: int, metrics: Any) -> bool:
            raise OSError("the storage is gone")

        started = time.monotonic()
        with pytest.raises(OSError, match="the storage is gone"):
            engine.run(Scripted(str(tmp_path), waits=True), observer=Watcher(), report=broken)
        assert time.monotonic() - started < 20
        assert self.run(engine, Scripted(str(tmp_path), values=(0.5, 0.6)))["status"] == "completed"
        assert (tmp_path / "steps.log").read_text().split() == ["1", "2"]

    def test_several_jobs_run_side_by_side_and_their_results_keep_their_order(
        self, engine: Engine, watcher: Watcher, tmp_path: Path
    ) -> None:
        calls = [Call(Scripted(str(tmp_path / str(n)), values=(n / 10,)), watcher) for n in range(3)]
        results = run_calls(engine, calls, at_once=2)
        assert [found and found["best_metrics"]["eval_f1_macro"] for found in results] == [0.0, 0.1, 0.2]

    def test_every_job_has_a_process_of_its_own(self, engine: Engine, tmp_path: Path) -> None:
        pids = {self.run(engine, Talker(str(tmp_path / str(n))))["pid"] for n in range(2)}
        assert len(pids) == 2
