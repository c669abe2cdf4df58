"""What becomes of a study when processes die, are stopped, or leave half of something behind.

All through `search`, with real child processes whose job follows a script.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
from filelock import FileLock
from optuna.trial import TrialState

from search.engine.child import CHILD_LOCK
from search.engine.local import await_orphan
from search.history import ATTEMPTS
from search.lines import read_lines
from search.objective import suggest
from search.ownership import STUDY_MARK
from search.worker import STUDY_LOCK
from tests.cases import quick
from tests.faults.moments import KILLED, begin, scripted_search, wait_for
from tests.search.fakes import (
    SPACE,
    Bench,
    Listener,
    Scripted,
    end_by_exception,
    end_by_signal,
    end_by_user_error,
    sleep_on,
)
from trainer import Outcome, TooManyFailures, UserError, write_json

ONE = SPACE.replace("trials: 4", "trials: 1")
TWO = SPACE.replace("trials: 4", "trials: 2")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def leave_running(bench: Bench) -> Path:
    """A trial that a worker took and did not end; gives its directory."""
    handle = bench.open()
    suggest(handle.study.ask(), handle.space)
    directory = bench.directory / "trial-0000"
    directory.mkdir(parents=True)
    (directory / STUDY_MARK).write_text(handle.identity)
    return directory


def press_ctrl_c(line: str, *, times: int) -> None:
    if line == "Trial 0 | waiting":
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)


def in_another_process(bench: Bench, job: str) -> subprocess.Popen[bytes]:
    """A worker on the same study, as a process of its own."""
    code = (
        "from pathlib import Path; from functools import partial; from tests.search.fakes import *\n"
        f"if __name__ == '__main__': Bench(Path({str(bench.home)!r})).search({job}, text={SPACE_16!r})"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


SPACE_16 = SPACE.replace("trials: 4", "trials: 16")


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_trial_that_always_dies_is_failed_after_its_retries_and_another_takes_its_place(
    bench: Bench,
) -> None:
    def make(directory: str) -> Scripted:
        return Scripted(directory, after=end_by_signal if directory.endswith("0") else None)

    assert bench.search(make, text=TWO + "limits: {retries: 1}\n").trials == {"fail": 1, "complete": 2}
    assert [number for number, _ in bench.listener.started] == [0, 0, 0, 1, 2]
    killed = bench.trials()[0]
    assert killed.user_attrs["cause"] == "worker_lost"
    assert killed.user_attrs["error"].startswith("killed by signal 9 (SIGKILL; it held ")
    assert bench.steps(0) == [1, 2]


@pytest.mark.slow
def test_a_trial_that_takes_its_worker_along_each_time_is_failed_after_its_retries(bench: Bench) -> None:
    text = ONE + "limits: {retries: 1}\n"
    job = "lambda name: Scripted(name, values=(0.5,), after=end_everything if name.endswith('0') else None)"
    command = scripted_search(bench.home, job, text=text)
    # The first attempt leaves a checkpoint, which is further than nothing.
    codes = [wait_for(begin(command, home=bench.home)).code for _ in range(4)]
    assert codes == [KILLED, KILLED, KILLED, 0]
    lost, other = bench.open(text).trials()
    assert (lost.state, lost.user_attrs["cause"]) == (TrialState.FAIL, "worker_lost")
    assert lost.user_attrs["error"] == (
        "its process and its worker died together, 2 times in a row without a newer checkpoint"
    )
    assert (lost.user_attrs["attempts"], other.state) == (3, TrialState.COMPLETE)


@pytest.mark.slow
@pytest.mark.parametrize(
    "job",
    [
        "partial(Scripted, values=(), waits=True)",
        "lambda name: Scripted(name, values=(), after=partial(evaluate_for_long, name))",
    ],
)
def test_kill_9_of_the_worker_alone_is_no_death_of_its_trial(job: str, bench: Bench) -> None:
    bench.open(SPACE_16)
    text = ONE + "limits: {retries: 0}\n"
    directory = bench.directory / "trial-0000"
    for _ in range(2):
        worker = in_another_process(bench, job)
        wait_until((directory / "waiting").exists)
        (directory / "waiting").unlink()
        worker.kill()
        worker.wait()
        await_orphan(directory)
    assert bench.search(partial(Scripted, values=(0.5,)), text=text).trials == {"complete": 1}
    assert bench.trials()[0].user_attrs["attempts"] == 3


def test_a_trial_that_is_killed_goes_on_from_its_checkpoint_and_ends_as_if_it_had_not_been(
    bench: Bench,
) -> None:
    bench.search(partial(Scripted, values=(0.4, 0.6, 0.7), kill_after=2), text=ONE)
    assert bench.listener.started == [(0, False), (0, True)]
    assert bench.steps(0) == [1, 2, 3]
    (trial,) = bench.trials()
    assert trial.value == 0.7
    assert trial.intermediate_values == {1: 0.4, 2: 0.6, 3: 0.7}
    assert trial.user_attrs["attempts"] == 2
    assert "it goes on from its checkpoint" in "\n".join(bench.listener.lines)


def test_deaths_after_progress_do_not_use_up_the_retries(bench: Bench) -> None:
    text = ONE + "limits: {retries: 0}\n"
    with_one = partial(Scripted, values=(0.4, 0.6, 0.7), kill_after=1)
    assert bench.search(with_one, text=text).trials == {"complete": 1}


def test_an_exception_keeps_its_traceback_in_the_directory_of_the_trial(bench: Bench) -> None:
    with pytest.raises(TooManyFailures):
        bench.search(partial(Scripted, after=end_by_exception), text=ONE)
    assert bench.trials()[0].state == TrialState.FAIL
    trace = (bench.directory / "trial-0000" / "error.txt").read_text()
    assert trace.startswith("Traceback")
    assert "in end_by_exception" in trace


def test_what_the_user_can_mend_ends_the_study_at_once_and_the_trial_is_tried_again(bench: Bench) -> None:
    with pytest.raises(UserError, match="trial 0: no model here; download it first"):
        bench.search(partial(Scripted, after=end_by_user_error))
    assert [trial.state for trial in bench.trials()] == [TrialState.RUNNING]
    assert bench.search(Scripted, text=ONE).trials == {"complete": 1}


def test_ctrl_c_leaves_a_trial_that_the_next_search_continues(bench: Bench) -> None:
    bench.listener = Listener(partial(press_ctrl_c, times=1))
    assert bench.search(partial(Scripted, waits=True), text=ONE).interrupted
    (left,) = bench.trials()
    assert left.state == TrialState.RUNNING
    assert bench.listener.lines[-1] == "Interrupted. Type the same command to go on."

    bench.listener = Listener()
    assert bench.search(partial(Scripted, waits=True), text=ONE).trials == {"complete": 1}
    assert bench.listener.started == [(0, True)]
    assert bench.steps(0) == [1, 2]
    assert bench.trials()[0].params == left.params


def test_a_second_ctrl_c_ends_a_child_that_does_not_listen(bench: Bench) -> None:
    bench.listener = Listener(partial(press_ctrl_c, times=2))
    before, started = signal.getsignal(signal.SIGINT), time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        bench.search(partial(Scripted, says="waiting", after=sleep_on), text=ONE)
    assert time.monotonic() - started < 30
    with FileLock(bench.directory / "trial-0000" / CHILD_LOCK, timeout=0):
        pass  # nobody works there any more
    assert signal.getsignal(signal.SIGINT) is before
    assert read_lines(bench.directory / "trial-0000" / ATTEMPTS)[-1]["how"] == "interrupted"
    assert bench.search(Scripted, text=ONE).trials == {"complete": 1}


@pytest.mark.slow
def test_sigterm_to_the_child_alone_makes_it_save_and_the_worker_go_on_with_it(bench: Bench) -> None:
    bench.search(partial(Scripted, values=(0.5, 0.6, 0.7), terminate_after=1), text=ONE)
    assert bench.listener.started == [(0, False), (0, True)]
    assert bench.steps(0) == [1, 2, 3]
    assert bench.trials()[0].value == 0.7


@pytest.mark.slow
def test_after_kill_9_of_the_worker_the_same_trial_goes_on_from_its_checkpoint(bench: Bench) -> None:
    bench.open(SPACE_16)
    worker = in_another_process(bench, "partial(Scripted, waits=True)")
    wait_until(lambda: bench.steps(0) == [1, 2])
    worker.kill()
    worker.wait()
    assert [trial.state for trial in bench.trials()] == [TrialState.RUNNING]
    assert bench.search(partial(Scripted, waits=True), text=ONE).trials == {"complete": 1}
    assert bench.listener.started == [(0, True)]
    assert bench.steps(0) == [1, 2]


def test_a_trial_that_ended_but_was_not_told_is_told_and_not_run_again(bench: Bench) -> None:
    directory = leave_running(bench)
    outcome = Outcome("completed", str(directory), best_metrics={"eval_f1_macro": 0.75}, best_step=2)
    write_json(directory / "outcome.json", asdict(outcome))
    assert bench.search(Scripted, text=ONE).trials == {"complete": 1}
    assert bench.trials()[0].value == 0.75
    assert bench.listener.started == []


@pytest.mark.parametrize(
    "text", quick('{"status": "comple', others=["[]", '{"status": "odd", "directory": "x"}', ""])
)
def test_an_outcome_that_is_not_whole_counts_as_none(bench: Bench, text: str) -> None:
    directory = leave_running(bench)
    (directory / "outcome.json").write_text(text)
    assert bench.search(Scripted, text=ONE).trials == {"complete": 1}
    assert bench.listener.started == [(0, False)]


def test_a_trial_left_running_by_a_lost_machine_is_taken_over_with_its_values(bench: Bench) -> None:
    leave_running(bench)
    values = bench.trials()[0].params
    bench.search(Scripted, text=TWO)
    assert [number for number, _ in bench.listener.started] == [0, 1]
    assert bench.trials()[0].params == values


def test_a_trial_taken_before_it_was_asked_for_its_values_is_completed(bench: Bench) -> None:
    bench.open().study.ask()
    bench.search(Scripted, text=ONE)
    assert bench.trials()[0].params.keys() == {"training.learning_rate", "model.pooling"}


def test_a_running_trial_whose_worker_lives_is_left_alone(bench: Bench) -> None:
    directory = leave_running(bench)
    searching = Thread(target=bench.search, args=(Scripted,), kwargs={"text": TWO})
    with FileLock(directory / ".worker.lock"):
        searching.start()
        wait_until(lambda: "Waiting for the trials of another worker" in bench.listener.lines)
        assert [number for number, _ in bench.listener.started] == [1]
        assert bench.trials()[0].state == TrialState.RUNNING
    searching.join(timeout=60)
    assert [number for number, _ in bench.listener.started] == [1, 0]


@pytest.mark.slow
def test_two_workers_at_once_share_a_study_without_running_anything_twice(bench: Bench) -> None:
    bench.open(SPACE_16)
    workers = [in_another_process(bench, "Scripted") for _ in range(2)]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    trials = bench.trials()
    assert [trial.number for trial in trials] == list(range(16))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert [bench.steps(trial.number) for trial in trials] == [[1, 2]] * 16


@pytest.mark.slow
def test_failures_of_a_study_that_was_stopped_do_not_stop_it_again(bench: Bench) -> None:
    with pytest.raises(TooManyFailures):
        bench.search(partial(Scripted, after=end_by_exception))
    assert bench.search(Scripted).trials == {"fail": 3, "complete": 4}


def test_a_worker_takes_no_trial_while_another_one_counts_them(bench: Bench) -> None:
    bench.directory.mkdir()
    searching = Thread(target=bench.search, args=(Scripted,), kwargs={"text": ONE})
    with FileLock(bench.directory / STUDY_LOCK):
        searching.start()
        searching.join(timeout=1.5)
        assert searching.is_alive()
        assert bench.listener.started == []
    searching.join(timeout=60)
    assert bench.listener.started == [(0, False)]
