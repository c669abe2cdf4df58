"""Whose turn it is to finish a study, between machines that share the storage and no directory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from search.engine.local import LocalEngine
from search.finish import turn
from search.finish.place import FinishPlace, Stopped
from search.finish.turn import finisher, in_turn
from search.heart import _SETTLE_S, STALE_LOOKS, Heart
from search.study import StudyHandle
from tests.search.storage.storages import Site, served_site
from trainer import Silent

#: of another machine: no process of this one tells whether it lives
ELSEWHERE = "elsewhere:boot:4026:1:x"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served_site(tmp_path) as site:
        yield site


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hearts that beat without a pause."""
    monkeypatch.setattr(turn, "Heart", partial(Heart, beat_s=0.01, sleep=lambda _s: None))


class Watcher(Silent):
    """Remembers the lines; asks to end once one of them holds `stop_at`."""

    def __init__(self, stop_at: str | None = None) -> None:
        self.lines: list[str] = []
        self._stop_at = stop_at

    def say(self, line: str) -> None:
        """Keep it."""
        self.lines.append(line)

    def interrupted(self) -> bool:
        """After the line."""
        return self._stop_at is not None and any(self._stop_at in line for line in self.lines)


def place(site: Site, name: str, watcher: Watcher) -> FinishPlace:
    """A directory of one machine's own."""
    study = site.home / name
    study.mkdir(exist_ok=True)
    return FinishPlace(study, LocalEngine(), watcher)


def other(handle: StudyHandle) -> Heart:
    """The heart of a machine that is at the finish, and beats when the test says so."""
    heart = Heart(handle, marks=turn.FinishMark(handle.study), name=ELSEWHERE, sleep=lambda _s: None)
    assert heart.seize(0)
    return heart


def test_who_is_at_the_finish_stands_in_the_storage_until_it_is_over(site: Site) -> None:
    handle = site.handle()
    seen = in_turn(handle, place(site, "one", Watcher()), lambda _mine: finisher(site.handle().study))
    assert seen not in (None, "elsewhere")
    assert finisher(handle.study) is None


@pytest.mark.slow
def test_of_machines_that_end_a_search_together_one_at_a_time_finishes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "Heart", Heart)  # with the pause that makes it sure
    at_work, two_at_once = threading.Lock(), threading.Event()
    together = threading.Barrier(3)
    done: list[str] = []

    def work(_mine: FinishPlace, name: str) -> None:
        if not at_work.acquire(blocking=False):
            two_at_once.set()
            return
        # Who began at the same moment, and thinks that it is his turn too, comes within this time.
        two_at_once.wait(_SETTLE_S + 1)
        at_work.release()
        done.append(name)

    def machine(name: str) -> None:
        handle, where = site.handle(), place(site, name, Watcher())
        together.wait()
        in_turn(handle, where, partial(work, name=name))

    site.handle()
    machines = [threading.Thread(target=machine, args=(name,)) for name in ("one", "two", "three")]
    for one in machines:
        one.start()
    for one in machines:
        one.join()
    assert not two_at_once.is_set()
    assert sorted(done) == ["one", "three", "two"]


def test_of_two_that_claim_a_finish_at_the_same_moment_the_last_word_counts(site: Site) -> None:
    handle = site.handle()
    marks = turn.FinishMark(handle.study)
    quicker = Heart(handle, marks=marks, name=ELSEWHERE, sleep=lambda _s: None)
    # Both found it free; while the first waits to be sure, the second writes its own mark.
    first = Heart(handle, marks=marks, sleep=lambda _s: quicker.hold(0))
    assert not first.seize(0)
    assert finisher(handle.study) == "elsewhere"


def test_a_machine_at_the_finish_is_waited_for_by_name_until_ctrl_c(site: Site) -> None:
    handle = site.handle()
    busy = other(handle)
    watcher = Watcher(stop_at="waiting for it")
    with pytest.raises(Stopped):
        in_turn(handle, place(site, "one", watcher), lambda _mine: pytest.fail("two at once"))
    assert watcher.lines == ["Another worker finishes this study on elsewhere; waiting for it"]
    busy.beat()
    assert not busy.lost(0)


def test_a_finish_whose_machine_died_is_taken_over(site: Site) -> None:
    handle = site.handle()
    other(handle)  # and never beats again
    watcher = Watcher()
    assert in_turn(handle, place(site, "one", watcher), lambda _mine: "made") == "made"
    assert watcher.lines == ["Another worker finishes this study on elsewhere; waiting for it"]


def test_a_finish_whose_machine_lives_is_not_taken_over(site: Site) -> None:
    handle = site.handle()
    busy, watching = other(handle), Heart(handle, marks=turn.FinishMark(handle.study))
    for _ in range(3 * STALE_LOOKS):
        busy.beat()
        watching.beat()
    assert not watching.seize(0)


def test_a_machine_that_slept_in_a_finish_learns_that_it_is_another_s_and_waits(site: Site) -> None:
    handle, watcher = site.handle(), Watcher()
    took: list[Heart] = []

    def work(mine: FinishPlace) -> str:
        if took:
            return "after the other"
        # As if this one had slept: the other has seen the same mark again and again.
        late = Heart(handle, marks=turn.FinishMark(handle.study), name=ELSEWHERE)
        took.append(late)
        while not mine.observer.interrupted():
            late.hold(0)  # again, for a beat that was under way may have written over it
        late.let_go(0)
        mine.require_going_on()
        raise AssertionError("it went on with what is another's")

    assert in_turn(handle, place(site, "one", watcher), work) == "after the other"
    assert "Another worker took the finish over meanwhile" in watcher.lines
