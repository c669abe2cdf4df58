"""A clock that is set in the middle of a study ends no trial and changes none."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.conftest import ROOT
from tests.faults.moments import Moment, begin, scripted_search, wait_for
from tests.search.fakes import SPACE, Bench

#: who reads the clock that can be set, and what for: nothing is decided by it but in the last one
READERS = {
    "search/history.py": "when an attempt began and ended, for people",
    "trainer/runner.py": "the name of a new directory, which is never one that exists",
    "trainer/data/tokens.py": "what the dead left is swept after a day; who lives makes an entry again",
}
LIMITS = "limits: {trial_timeout: 10m, stall_timeout: 10m, retries: 0}\n"
TWO = SPACE.replace("budget: {trials: 4}", "budget: {trials: 2, time: 30m}") + LIMITS


def reads_the_clock(path: Path) -> bool:
    """Does the module call `time.time()`, `datetime.now()` or one of their kind?"""
    calls = (
        node.func
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    )
    names = {ast.unparse(one) for one in calls}
    settable = {
        "time.time",
        "time.time_ns",
        "time.localtime",
        "datetime.now",
        "datetime.utcnow",
        "date.today",
    }
    return any(name == one or name.endswith(f".{one}") for name in names for one in settable)


def test_no_module_decides_anything_by_a_clock_that_can_be_set() -> None:
    files = [path for package in ("search", "trainer") for path in (ROOT / package).rglob("*.py")]
    assert {path.relative_to(ROOT).as_posix() for path in files if reads_the_clock(path)} == READERS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("jump_s", [86_400, -3_600])
def test_a_clock_that_jumps_under_a_trial_ends_nothing(tmp_path: Path, jump_s: int) -> None:
    bench = Bench(tmp_path)
    clock = tmp_path / f"clock{jump_s:+}"
    moment = Moment("os.rename", "trial-0000/checkpoints/last", "clock", after=True, filler=str(clock))
    ended = wait_for(begin(scripted_search(tmp_path, "Scripted", text=TWO), home=tmp_path, moment=moment))
    assert ended.code == 0, ended.err
    assert clock.exists(), "the clock was never set"
    trials = bench.open(TWO).trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    assert [trial.user_attrs["attempts"] for trial in trials if "attempts" in trial.user_attrs] == []
    assert [bench.steps(number) for number in (0, 1)] == [[1, 2], [1, 2]]
