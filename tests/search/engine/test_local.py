"""Jobs in child processes of this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from search.engine.base import Call, run_calls
from search.engine.local import START_METHOD, LocalEngine, death
from tests.cases import quick
from tests.conftest import environment
from tests.search.engine.contract import EngineContract, Talker, Watcher
from tests.search.fakes import Scripted
from trainer import UserError

PRELOAD = ("tests.search.fakes",)


class TestForkserver(EngineContract):
    @pytest.fixture
    def engine(self) -> LocalEngine:
        return LocalEngine(preload=PRELOAD)


def run(job: Any, watcher: Watcher | None = None) -> dict[str, Any]:
    watcher = watcher or Watcher()
    return LocalEngine(preload=PRELOAD).run(job, observer=watcher, report=watcher.report)


@pytest.mark.parametrize("method", quick("forkserver", others=["spawn"]))
def test_a_child_works_where_its_parent_does(method: str, tmp_path: Path) -> None:
    engine, watcher = LocalEngine(preload=PRELOAD, start_method=method), Watcher()
    result = engine.run(Talker(str(tmp_path)), observer=watcher, report=watcher.report)
    assert result["environment"]["cwd"] == str(Path.cwd())
    assert watcher.lines == ["你好"]


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


@pytest.mark.slow
def test_a_child_is_forked_with_nothing_that_trials_do_not_use() -> None:
    program = (
        "import sys, search.engine.preload; print({'sklearn', 'scipy.stats'} & set(sys.modules) or 'none')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "none"


@pytest.mark.slow
def test_garbage_is_looked_for_only_after_the_imports_and_not_in_them() -> None:
    script = """
import gc
import search.engine.deaf
assert not gc.isenabled()
import search.engine.preload
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000
"""
    subprocess.run([sys.executable, "-c", script], env=environment(), check=True)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no forkserver on Windows")
def test_a_child_collects_garbage_also_where_the_imports_failed(tmp_path: Path) -> None:
    script = """
import sys
from search.engine.local import LocalEngine
from tests.search.engine.contract import Talker, Watcher
engine, watcher = LocalEngine(preload=("search.engine.deaf", "no_such_module")), Watcher()
result = engine.run(Talker(sys.argv[1]), observer=watcher, report=watcher.report)
print(result["environment"]["collects"])
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
