"""A study's first trial: alone with all cores, and the cores dealt out after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.engine.inline import InlineEngine
from search.seats import Seat, Seats
from search.worker import Workplace, search
from tests.search.fakes import SPACE, Bench, Scripted
from trainer import Config


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class Seen:
    """A search on three seats of a thread each, the first trial alone, and what was seen of it.

    threads: of each trial. ended_before: which had ended when each began. most: that ran at a time.
    """

    def __init__(self, bench: Bench, *, first_ends: str = "completed") -> None:
        self.threads: dict[int, int | None] = {}
        self.ended_before: dict[int, set[int]] = {}
        self.most = 0

        def make(_config: Config, directory: str, seat: Seat) -> Scripted:
            number = int(directory[-4:])
            self.threads[number], self.ended_before[number] = seat.threads, set(bench.listener.ended)
            return Scripted(directory, status="completed" if number else first_ends, waits_s=0.05)

        def note(count: int) -> None:
            self.most = max(self.most, count)

        class Counting(InlineEngine):
            def wait(self, among: Any, *, timeout_s: float) -> None:
                note(len(among))
                super().wait(among, timeout_s=timeout_s)

        seats = Seats(3, threads=1, alone_threads=2)
        place = Workplace(bench.directory, Counting(), bench.listener, make_job=make, seats=seats)
        search(bench.open(), workplace=place)


@pytest.mark.parametrize("ends", ["completed", "failed"])
def test_the_first_trial_of_a_study_runs_alone_with_all_cores(bench: Bench, ends: str) -> None:
    seen = Seen(bench, first_ends=ends)
    others = range(1, 4 if ends == "completed" else 5)
    assert seen.threads == {0: 2} | dict.fromkeys(others, 1)
    assert all(0 in seen.ended_before[number] for number in others)
    assert seen.most > 1
    assert bench.listener.lines[0] == "The first trial has all cores; 3 at a time after it"


def test_a_first_trial_that_died_has_all_cores_again(bench: Bench) -> None:
    threads: list[tuple[int, int | None]] = []

    def make(_config: Config, directory: str, seat: Seat) -> Scripted:
        threads.append((int(directory[-4:]), seat.threads))
        return Scripted(directory, kill_after=1 if directory.endswith("0") else None)

    seats = Seats(2, threads=1, alone_threads=2)
    place = Workplace(bench.directory, bench.engine, bench.listener, make_job=make, seats=seats)
    search(bench.open(SPACE.replace("trials: 4", "trials: 2")), workplace=place)
    assert threads == [(0, 2), (0, 2), (1, 1)]
    assert bench.steps(0) == [1, 2]


def test_a_study_that_has_trials_already_has_no_first_one(bench: Bench) -> None:
    bench.search(Scripted, text=SPACE.replace("trials: 4", "trials: 1"), engine=InlineEngine())
    seen = Seen(bench)
    assert seen.threads == {1: 1, 2: 1, 3: 1}
    assert seen.most == 3
