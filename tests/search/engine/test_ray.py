"""A Ray cluster on this machine: what it does as every engine does, and what only a cluster can do."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from search.engine.base import let_go
from search.engine.ray import Needs, RayEngine, RayJob
from tests.search.engine.contract import EngineContract, Talker, Watcher
from tests.search.fakes import Scripted
from trainer import Observer, Report, UserError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes, of which the second alone has `memory` enough for what asks for a lot."""
    pytest.importorskip("ray", reason="needs the extra ray")
    cluster_utils = importlib.import_module("ray.cluster_utils")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "memory": 2**30})
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def ray_engine(cluster: Any) -> Iterator[RayEngine]:
    with RayEngine(address=cluster.address) as engine:
        yield engine


class TestRay(EngineContract):
    @pytest.fixture
    def engine(self, ray_engine: RayEngine) -> RayEngine:
        return ray_engine


def test_a_node_that_dies_loses_no_job(cluster: Any, ray_engine: RayEngine, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=1, memory=8 * 2**30)
    ray_engine.needs = lambda _job: Needs(memory_bytes=4 * 2**30)

    class Killer(Watcher):
        """Takes the node away while the job runs on it, and brings another."""

        def say(self, line: str) -> None:
            self.lines.append(line)
            if len(self.lines) == 1:
                cluster.remove_node(node, allow_graceful=False)
                cluster.add_node(num_cpus=1, memory=8 * 2**30)

    watcher = Killer()
    result = ray_engine.run(
        Scripted(str(tmp_path), values=(0.5, 0.6), waits=True), observer=watcher, report=watcher.report
    )
    ray_engine.needs = lambda _job: Needs()
    assert result["status"] == "completed", result["error"]
    assert [step for step, _ in watcher.reports] == [1, 2]
    assert (tmp_path / "steps.log").read_text().split() == ["1", "2"]


def test_a_relative_path_means_the_same_on_every_node_as_where_the_command_was_typed(
    ray_engine: RayEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    watcher = Watcher()
    result = ray_engine.run(Talker("talk"), observer=watcher, report=watcher.report)
    assert result["environment"]["cwd"] == str(tmp_path)
    assert (tmp_path / "talk" / "outcome.json").is_file()


@pytest.mark.parametrize("end", [RayJob.kill, RayJob.interrupt])
def test_a_job_that_waits_for_a_place_has_not_begun_and_once_ended_never_begins(
    ray_engine: RayEngine, tmp_path: Path, end: Callable[[RayJob], None]
) -> None:
    ray_engine.needs = lambda _job: Needs(cpus=2)  # which the first node alone has
    with ray_engine.start(Scripted(str(tmp_path / "holder"), waits=True)) as holder:
        while not holder.begun:
            ray_engine.wait([holder], timeout_s=1)
        with ray_engine.start(Scripted(str(tmp_path / "queued"))) as queued:
            ray_engine.wait([queued], timeout_s=1)
            assert not queued.begun
            end(queued)
            while not queued.ended:
                ray_engine.wait([queued], timeout_s=5)
                queued.receive()
            result = queued.result()
    ray_engine.needs = lambda _job: Needs()
    assert (result["status"], result["error_kind"]) == ("failed", "lost")
    assert not (tmp_path / "queued" / "steps.log").exists()


def test_an_error_on_this_side_does_not_wait_for_jobs_that_have_no_place_yet(
    ray_engine: RayEngine, tmp_path: Path
) -> None:
    ray_engine.needs = lambda _job: Needs(cpus=2)  # which the first node alone has
    with ray_engine.start(Scripted(str(tmp_path / "holder"), waits=True)) as holder:
        while not holder.begun:
            ray_engine.wait([holder], timeout_s=1)
        queued = [ray_engine.start(Scripted(str(tmp_path / f"queued-{index}"))) for index in range(2)]
        error, started = OSError("the storage is gone"), time.monotonic()
        let_go(queued, error)
        assert time.monotonic() - started < 30
    ray_engine.needs = lambda _job: Needs()
    assert list(tmp_path.glob("queued-*/steps.log")) == []


def unpack() -> None:
    raise ValueError("made by another version")


@dataclass(frozen=True)
class Unreadable:
    """Cannot be read where it is sent to."""

    directory: str

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        """What its reader is to call."""
        return unpack, ()

    def run(self, observer: Observer, report: Report) -> Any:
        """Never called."""


def test_a_job_that_its_node_cannot_read_is_a_crash_of_that_trial(
    ray_engine: RayEngine, tmp_path: Path
) -> None:
    watcher = Watcher()
    result = ray_engine.run(Unreadable(str(tmp_path)), observer=watcher, report=watcher.report)
    assert (result["status"], result["error_kind"]) == ("failed", "crash")
    assert result["error"].startswith("its node could not run it: ")
    assert "made by another version" in (tmp_path / "error.txt").read_text()


def test_a_job_that_no_node_can_hold_is_refused(ray_engine: RayEngine, tmp_path: Path) -> None:
    ray_engine.needs = lambda _job: Needs(gpus=0.5)
    with pytest.raises(UserError, match=r"no node of the Ray cluster has 1 CPU, 0.5 GPU for trial-0007"):
        ray_engine.start(Scripted(str(tmp_path / "trial-0007")))
    ray_engine.needs = lambda _job: Needs()


def test_slots_are_what_the_nodes_hold_one_by_one(ray_engine: RayEngine) -> None:
    assert ray_engine.slots(Needs(memory_bytes=2**29)) >= 2
    assert ray_engine.slots(Needs(cpus=50)) == 0


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'cp-search\[ray\]'"):
        RayEngine()
