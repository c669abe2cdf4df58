"""What of a study's time is spent: over restarts, numbers of jobs, and several workers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.engine.inline import InlineEngine
from search.seats import Seats
from search.stopwatch import NOTE_S, Stopwatch
from search.worker import SearchEnd
from tests.search.fakes import SPACE, Bench, Listener, Scripted
from tests.search.test_limits import Full

MINUTE = 60.0


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class Hands:
    """The clock of one process: goes on when it is told to, from a moment of its own."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Seconds."""
        return self.now


class Slow(Listener):
    """An audience to which every trial takes forty minutes."""

    def __init__(self, clock: Hands) -> None:
        super().__init__()
        self._clock = clock

    def trial_started(self, number: int, *, values: dict[str, Any], resumed: bool) -> None:
        """The time goes by."""
        super().trial_started(number, values=values, resumed=resumed)
        self._clock.now += 40 * MINUTE


def spend(bench: Bench, *, trials: int, boot: float) -> SearchEnd:
    """Search, for an hour at most, in a process whose clock began at `boot`."""
    clock = Hands(boot)
    bench.listener = Slow(clock)
    text = SPACE.replace("{trials: 4}", f"{{trials: {trials}, time: 1h}}")
    return bench.search(Scripted, text=text, engine=InlineEngine(), clock=clock)


def test_the_time_of_an_earlier_search_counts_whatever_its_clock_said(bench: Bench) -> None:
    assert spend(bench, trials=1, boot=9e6).reason == "trials"
    again = spend(bench, trials=9, boot=-5.0)
    assert (again.reason, again.trials) == ("time", {"complete": 2})


def test_trials_that_ran_side_by_side_have_not_used_more_time_once_they_run_one_by_one(bench: Bench) -> None:
    def half_an_hour(directory: str) -> Scripted:
        return Scripted(directory, seconds=30 * MINUTE)

    bench.search(half_an_hour, engine=InlineEngine(), seats=Seats(4))
    text = SPACE.replace("{trials: 4}", "{trials: 5, time: 1h}")
    end = bench.search(half_an_hour, text=text, engine=InlineEngine())
    assert (end.reason, end.trials) == ("trials", {"complete": 5})


def test_workers_at_the_same_time_count_once(bench: Bench) -> None:
    handle = bench.open()
    here, there = Hands(100.0), Hands(7000.0)
    one, other = Stopwatch(handle, clock=here), Stopwatch(handle, clock=there)
    for _ in range(3):
        for hands in (here, there):
            hands.now += 10 * MINUTE
        one.note()
        other.note()
    assert one.elapsed_s() == other.elapsed_s() == Stopwatch(handle, clock=Hands()).elapsed_s() == 30 * MINUTE


def test_one_that_begins_when_another_has_ended_goes_on_from_there(bench: Bench) -> None:
    handle = bench.open()
    for times in range(1, 4):
        clock = Hands(1000.0 / times)
        stopwatch = Stopwatch(handle, clock=clock)
        clock.now += 5 * MINUTE
        stopwatch.note()
        assert stopwatch.elapsed_s() == times * 5 * MINUTE


def test_many_short_trials_write_no_more_often_than_every_few_seconds(bench: Bench) -> None:
    handle, clock = bench.open(), Hands()
    stopwatch = Stopwatch(handle, clock=clock)
    stored = []
    for _ in range(30):
        clock.now += 1.0
        stopwatch.note_now_and_then()
        stored.append(Stopwatch(handle, clock=Hands()).elapsed_s())
    assert sorted(set(stored)) == [0.0, NOTE_S, 2 * NOTE_S, 3 * NOTE_S]


def test_the_time_that_a_search_waited_counts_too(bench: Bench) -> None:
    clock = Hands()

    class Patient(Listener):
        def say(self, line: str) -> None:
            super().say(line)
            clock.now += 2 * 60 * MINUTE * line.startswith("Waiting for host memory")

    bench.listener = Patient()
    text = SPACE.replace("{trials: 4}", "{trials: 4, time: 1h}")
    bench.search(Scripted, text=text, host=Full(10 * 2**20), clock=clock)
    assert Stopwatch(bench.open(text), clock=Hands()).elapsed_s() == 2 * 60 * MINUTE
