"""States that a crash, a full disk or a busy database leaves, each met by the next search.

The others of the table: tests/faults/test_processes.py (dead processes), test_killed_studies.py (random
moments), test_memory.py (memory), tests/search/test_limits.py (hangs).
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from threading import Barrier, Event, Timer
from typing import Any

import pytest
from optuna.trial import TrialState

import search.history
from search.engine.inline import InlineEngine
from search.history import DIED, History
from search.lines import append_line, read_lines
from search.objective import suggest
from search.ownership import STUDY_MARK
from search.seats import Seats
from search.storage.database import DatabaseStorage
from search.storage.relay import RelayStorage
from search.storage.storage import open_storage
from tests.search.fakes import SPACE, Bench, Listener, Scripted, sleep_on
from trainer import Outcome, TooManyFailures, UserError, write_json

ONE = SPACE.replace("trials: 4", "trials: 1")
ONE_AND_TIME = ONE + "limits: {trial_timeout: 30m}\n"
PRUNING = "pruner: {name: MedianPruner, args: {n_startup_trials: 1}}\n"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def leave(bench: Bench, number: int, *, text: str, heard: dict[int, float], noted: dict[int, float]) -> Path:
    """A trial whose worker heard some evaluations and died; its child noted those it made."""
    handle = bench.open(text)
    handle.seed_sampler(number)
    trial = handle.study.ask()
    assert trial.number == number
    suggest(trial, handle.space)
    directory = bench.directory / f"trial-{number:04d}"
    directory.mkdir(parents=True)
    (directory / STUDY_MARK).write_text(handle.identity)
    for step, value in heard.items():
        trial.report(value, step)
    for step, value in noted.items():
        append_line(directory / "reports.jsonl", {"step": step, "metrics": {"eval_f1_macro": value}})
    (directory / "checkpoints").mkdir()
    (directory / "checkpoints" / "last").write_text(str(len(noted)))
    return directory


def test_an_evaluation_that_was_made_but_not_heard_is_stored_before_the_trial_goes_on(bench: Bench) -> None:
    leave(bench, 0, text=ONE, heard={1: 0.4}, noted={1: 0.4, 2: 0.5})
    bench.search(
        lambda directory: Scripted(directory, values=(0.4, 0.5, 0.6)), text=ONE, engine=InlineEngine()
    )
    assert bench.trials()[0].intermediate_values == {1: 0.4, 2: 0.5, 3: 0.6}
    assert bench.steps(0) == [3]


def test_a_trial_that_the_pruner_stops_at_what_was_not_heard_does_not_go_on(bench: Bench) -> None:
    text = SPACE.replace("trials: 4", "trials: 2") + PRUNING
    bench.search(Scripted, text=ONE + PRUNING, engine=InlineEngine())
    leave(bench, 1, text=text, heard={}, noted={1: 0.1})
    bench.search(Scripted, text=text, engine=InlineEngine())
    stopped = bench.open(text).trials()[1]
    assert stopped.state == TrialState.PRUNED
    assert stopped.intermediate_values == {1: 0.1}
    assert bench.steps(1) == []


def test_the_last_evaluation_is_stored_too_when_the_run_ended_without_its_worker(bench: Bench) -> None:
    directory = leave(bench, 0, text=ONE, heard={1: 0.4}, noted={1: 0.4, 2: 0.5})
    ended = Outcome("completed", str(directory), best_metrics={"eval_f1_macro": 0.5}, best_step=2)
    for _ in range(2):
        History(directory).begin(pid=None)
    write_json(directory / "outcome.json", asdict(ended))
    bench.search(Scripted, text=ONE, engine=InlineEngine())
    (trial,) = bench.trials()
    assert trial.user_attrs["attempts"] == 2
    assert (trial.value, trial.intermediate_values) == (0.5, {1: 0.4, 2: 0.5})
    assert bench.listener.started == []


@pytest.mark.slow
def test_a_worker_that_dies_between_two_suggestions_changes_none_of_them(tmp_path: Path) -> None:
    whole, broken = Bench(tmp_path / "whole"), Bench(tmp_path / "broken")
    dropout = "model.dropout_rate: {type: float, low: 0.0, high: 0.5}\n  model.pooling:"
    text = SPACE.replace("model.pooling:", dropout)
    for bench in (whole, broken):
        bench.home.mkdir()
        bench.open(text)
    handle = broken.open(text)
    handle.seed_sampler(0)
    handle.study.ask().suggest_float("training.learning_rate", 1e-5, 1e-3, log=True)
    found = []
    for bench in (whole, broken):
        bench.search(Scripted, text=text, engine=InlineEngine())
        found.append([trial.params for trial in bench.open(text).trials()])
    assert found[0] == found[1]


def test_a_full_disk_is_one_line_and_the_same_search_goes_on_after_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, record: dict[str, Any]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(search.history, "append_line", full)
        with pytest.raises(UserError, match=r"cannot write .*attempts\.jsonl: No space left on device"):
            bench.search(Scripted, text=ONE, engine=InlineEngine())
    assert bench.trials()[0].state == TrialState.RUNNING
    assert bench.search(Scripted, text=ONE, engine=InlineEngine()).trials == {"complete": 1}


@pytest.mark.slow
def test_a_database_that_another_program_has_locked_is_waited_for(bench: Bench) -> None:
    bench.open(ONE)
    other = sqlite3.connect(bench.home / "fake.db", check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    Timer(1.0, other.rollback).start()
    assert bench.search(Scripted, text=ONE, engine=InlineEngine()).trials == {"complete": 1}
    other.close()


def test_a_database_that_another_program_holds_is_waited_for_longer_than_a_minute(bench: Bench) -> None:
    storage = open_storage(bench.url)
    assert isinstance(storage, RelayStorage)
    assert isinstance(storage.inner, DatabaseStorage)
    with storage.inner._backend.engine.connect() as connection:
        (waits_ms,) = connection.exec_driver_sql("PRAGMA busy_timeout").one()
    assert waits_ms >= 120_000


#: writes more than SQLite keeps in memory, so that pages of the database change before anything is committed
_DIE_WRITING = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN EXCLUSIVE")
database.execute("UPDATE trials SET state = 'FAIL'")
database.execute("UPDATE trial_params SET param_value = -1.0")
database.execute("CREATE TABLE heavy AS SELECT randomblob(1000000) AS stuff")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_death_in_the_middle_of_writing_the_database_takes_that_back(bench: Bench) -> None:
    two = SPACE.replace("trials: 4", "trials: 2")
    bench.search(Scripted, text=ONE, engine=InlineEngine())
    (before,) = bench.trials()
    database = bench.home / "fake.db"
    half_written = database.read_bytes()
    subprocess.run([sys.executable, "-c", _DIE_WRITING, str(database)], check=False)
    assert (bench.home / "fake.db-journal").stat().st_size > 0
    assert database.read_bytes() != half_written
    assert bench.search(Scripted, text=two, engine=InlineEngine()).trials == {"complete": 2}
    after = bench.open(two).trials()[0]
    assert (after.state, after.params, after.value) == (before.state, before.params, before.value)
    assert not (bench.home / "fake.db-journal").exists()


def test_a_newer_checkpoint_is_one_even_after_the_clock_was_set_back(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoints" / "last"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    (tmp_path / "checkpoints" / "best-001").touch()
    history = History(tmp_path)
    history.begin(pid=None)
    an_hour_ago = checkpoint.stat().st_mtime - 3600
    os.utime(checkpoint, (an_hour_ago, an_hour_ago))
    history.end(DIED, seconds=1.0)
    assert history.deaths() == 0
    history.begin(pid=None)
    history.end(DIED, seconds=1.0)
    assert history.deaths() == 1


def test_a_line_that_a_crash_tore_is_passed_over_and_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text(json.dumps({"a": 1}) + '\n{"b": ')
    append_line(path, {"c": 3})
    assert read_lines(path) == [{"a": 1}, {"c": 3}]


def test_deaths_are_counted_from_the_last_newer_checkpoint_on(tmp_path: Path) -> None:
    history = History(tmp_path)
    for further in (False, True, False, False):
        history.begin(pid=None)
        if further:
            (tmp_path / "checkpoints").mkdir()
            (tmp_path / "checkpoints" / "last").touch()
        history.end(DIED, seconds=1.5)
    assert (history.attempts, history.deaths(), history.spent_s) == (4, 2, 6.0)
    history.end("interrupted", seconds=0.0)
    assert history.deaths() == 0


def test_of_an_attempt_whose_end_nobody_saw_the_time_counts_that_it_was_seen_alive(tmp_path: Path) -> None:
    history = History(tmp_path)
    for seconds in ((30.0, 60.0), (), (30.0,)):
        history.begin(pid=1)
        for lived in seconds:
            history.lives(seconds=lived)
    history.end(DIED, seconds=31.5)
    assert (history.attempts, history.spent_s) == (3, 91.5)


@pytest.mark.parametrize(
    ("left", "pid", "further", "deaths"),
    [
        (None, 1, False, 1),
        (None, 1, True, 0),  # it came further
        ("interrupted", 1, False, 0),  # its process outlived the worker, which was killed alone
        (None, None, False, 0),  # it ran on another machine
    ],
)
def test_who_takes_a_trial_over_counts_a_death_that_nobody_saw(
    tmp_path: Path, left: str | None, pid: int | None, further: bool, deaths: int
) -> None:
    history = History(tmp_path)
    history.begin(pid=pid)
    history.lives(seconds=30.0)
    if further:
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints" / "last").touch()
    assert history.settle(left)
    assert not history.settle(left)
    assert (history.deaths(), history.spent_s) == (deaths, 30.0)


@pytest.mark.parametrize(
    ("machine", "deaths"),
    [
        (["here", "boot 2"], 1),  # it went down and is up again
        (["container 2", "boot 1"], 1),  # its container was made anew
        (["elsewhere", "boot 3"], 0),
    ],
)
def test_a_death_that_nobody_saw_counts_on_the_machine_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: list[str], deaths: int
) -> None:
    history = History(tmp_path)
    monkeypatch.setattr(search.history, "_machine", lambda: ["here", "boot 1"])
    history.begin(pid=1)
    monkeypatch.setattr(search.history, "_machine", lambda: machine)
    assert history.settle(None)
    assert history.deaths() == deaths


def test_attempts_that_died_with_their_workers_count_for_the_time_of_a_trial(bench: Bench) -> None:
    directory = leave(bench, 0, text=ONE, heard={}, noted={})
    History(directory).begin(pid=1)
    History(directory).lives(seconds=1800.0)
    bench.search(lambda name: Scripted(name, after=sleep_on), text=ONE_AND_TIME)
    late = bench.open(ONE_AND_TIME).trials()[0]
    assert (late.state, late.user_attrs["cause"]) == (TrialState.PRUNED, "timeout")
    assert late.user_attrs["seconds"] >= 1800


def leave_deaths(bench: Bench, deaths: Sequence[int], *, text: str) -> None:
    """As many trials, each of which died so often in a row and has no checkpoint."""
    for number, times in enumerate(deaths):
        directory = leave(bench, number, text=text, heard={}, noted={})
        (directory / "checkpoints" / "last").unlink()
        for _ in range(times):
            History(directory).begin(pid=1)
            History(directory).settle(None)


@pytest.mark.parametrize("deaths_of_other", [0, 2])
def test_a_trial_that_died_again_and_again_starts_when_the_others_have_come_further(
    bench: Bench, deaths_of_other: int
) -> None:
    two = SPACE.replace("trials: 4", "trials: 2")
    leave_deaths(bench, (deaths_of_other, 2), text=two)
    first, second_began = bench.directory / "trial-0000" / "checkpoints" / "last", Event()

    def linger() -> None:
        assert second_began.wait(60), "one waited for the end of the other"

    def make(directory: str) -> Scripted:
        if not directory.endswith("1"):
            return Scripted(directory, waits_s=0.5, after=linger)
        assert first.exists(), "it began before the other had come further"
        second_began.set()
        return Scripted(directory)

    end = bench.search(make, text=two, engine=InlineEngine(), seats=Seats(2))
    assert end.trials == {"complete": 2}
    waits = "Trial 1 waits until those that run have come further: it died 2 times in a row"
    assert bench.listener.lines.count(waits) == (deaths_of_other == 0)


def test_while_a_trial_that_died_again_and_again_waits_no_new_one_is_begun(bench: Bench) -> None:
    leave_deaths(bench, (0, 2), text=SPACE)
    waits = Event()
    bench.listener = Listener(lambda line: waits.set() if line.startswith("Trial 1 waits") else None)

    def linger() -> None:
        assert waits.wait(60)

    def make(directory: str) -> Scripted:
        return Scripted(directory, values=(), status="failed", after=linger)

    text = SPACE.replace("max_failures: 3", "max_failures: 2")
    with pytest.raises(TooManyFailures):
        bench.search(make, text=text, engine=InlineEngine(), seats=Seats(3))
    assert [number for number, _ in bench.listener.started] == [0, 1]


def test_on_a_cluster_a_trial_that_died_again_and_again_runs_beside_others(bench: Bench) -> None:
    class Cluster(InlineEngine):
        on_one_machine = False

    two = SPACE.replace("trials: 4", "trials: 2")
    leave_deaths(bench, (0, 2), text=two)
    together = Barrier(2)

    def meet() -> None:
        together.wait(60)

    assert bench.search(partial(Scripted, after=meet), text=two, engine=Cluster(), seats=Seats(2)).trials == {
        "complete": 2
    }
