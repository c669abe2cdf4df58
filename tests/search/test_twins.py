"""Configurations that are known: trained already, being trained, or being drawn by another worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from filelock import FileLock

from search.ledger import Ledger
from search.objective import suggest
from search.telling import twin
from search.verdict import Verdict, judge
from search.worker import TRIAL_LOCK, tell
from tests.search.fakes import SPACE, Bench, Scripted
from tests.search.storage.storages import Site, sqlite_site
from trainer import Outcome

RATE = "  training.learning_rate: {type: float, low: 1.0e-5, high: 1.0e-3, log: true}\n"
#: a single point
POINT = SPACE.replace(RATE, "").replace("[cls, mean]", "[cls]").replace("trials: 4", "trials: 2")
POINTS = ({"training.learning_rate": 2e-5, "model.pooling": "cls"}, {"training.learning_rate": 5e-5})
DONE = judge(Outcome("completed", "there", best_metrics={"eval_f1_macro": 0.7}, best_step=1))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with sqlite_site(tmp_path) as site:
        yield site


class Pair:
    """A trial of another worker, then one of ours with the first of `POINTS`."""

    def __init__(self, site: Site, point: dict[str, Any]) -> None:
        """`point`: what the other will draw."""
        self.handle = site.handle()
        for fixed in (point, POINTS[0]):
            self.handle.study.enqueue_trial(fixed)
        self.theirs, self.ours = self.handle.study.ask(), self.handle.study.ask()
        suggest(self.ours, self.handle.space)
        self.ledger = Ledger(self.handle)

    def verdict(self, *, repeats: int = 1) -> Verdict | int | None:
        """What becomes of ours, as things are now."""
        self.ledger.look_before(1, mine={1})
        return twin(self.ledger.alike(1, self.ours.params), repeats=repeats)


def test_a_trial_waits_for_an_earlier_one_that_has_not_drawn_its_values_yet(site: Site) -> None:
    pair = Pair(site, POINTS[0])
    assert pair.verdict() == 1
    pair.theirs.suggest_categorical("model.pooling", ["cls", "mean"])
    assert pair.verdict() == 1
    suggest(pair.theirs, pair.handle.space)
    assert pair.verdict() == 1
    tell(pair.handle, pair.theirs, DONE)
    verdict = pair.verdict()
    assert isinstance(verdict, Verdict)
    assert (verdict.value, verdict.cause) == (0.7, "same as trial 0")


def test_it_runs_once_the_earlier_one_has_drawn_others(site: Site) -> None:
    pair = Pair(site, POINTS[1])
    pair.theirs.suggest_float("training.learning_rate", 1e-5, 1e-3, log=True)
    assert pair.verdict() is None


def test_it_does_not_wait_where_both_may_be_trained(site: Site) -> None:
    assert Pair(site, POINTS[0]).verdict(repeats=2) is None


def test_an_earlier_one_never_waits_for_a_later_one(site: Site) -> None:
    pair = Pair(site, POINTS[0])
    params = suggest(pair.theirs, pair.handle.space)
    pair.ledger.read()
    assert pair.ledger.alike(0, params) == []


@pytest.mark.slow
def test_a_later_one_that_has_ended_counts_for_one_that_comes_back_from_the_queue(site: Site) -> None:
    pair = Pair(site, POINTS[0])
    pair.handle.put_back(0)
    tell(pair.handle, pair.ours, DONE)
    params = suggest(pair.handle.study.ask(), pair.handle.space)
    pair.ledger.read()
    assert [trial.number for trial in pair.ledger.alike(0, params)] == [1]


def test_two_workers_that_draw_the_same_cell_at_the_same_moment_train_it_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    handle = bench.open(POINT)
    theirs = handle.study.ask()
    clock = CountingClock()
    searching = Thread(target=bench.search, args=(Scripted,), kwargs={"text": POINT, "clock": clock})
    directory = bench.directory / "trial-0000"
    directory.mkdir(parents=True)
    with FileLock(directory / TRIAL_LOCK):
        searching.start()
        _until(lambda: len(handle.trials()) == 2 and bool(handle.trials()[1].params))
        drawn = clock.asked
        _until(lambda: clock.asked > drawn + 20)  # the worker has gone its round several times
        suggest(theirs, handle.space)
        tell(handle, theirs, DONE)
    searching.join(timeout=60)
    assert bench.listener.started == []
    assert handle.trials()[1].user_attrs["cause"] == "same as trial 0"


class CountingClock:
    """A clock that knows how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> float:
        """Seconds."""
        self.asked += 1
        return time.monotonic()


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
