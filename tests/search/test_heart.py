"""The mark of an owner: what can be known of it without waiting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.heart import Heart, mark_of, this_host
from tests.search.storages import Site, memory_site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    with memory_site(tmp_path) as site:
        return site


def test_a_trial_of_a_dead_process_of_this_host_is_to_be_had_at_once(site: Site) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    handle = site.handle()
    handle.study.ask()
    Heart(handle, name=f"{this_host()}:{gone.pid}:x").hold(0)
    assert Heart(handle).is_gone(handle.trial(0))


def test_a_process_id_of_another_host_says_nothing(site: Site) -> None:
    handle = site.handle()
    handle.study.ask()
    Heart(handle, name="another-host:boot:4026:999999:x").hold(0)
    assert not Heart(handle).is_gone(handle.trial(0))


def test_a_living_worker_of_this_host_is_not_gone(site: Site) -> None:
    handle = site.handle()
    handle.study.ask()
    heart = Heart(handle)
    heart.hold(0)
    assert mark_of(handle.trial(0))[0].startswith(f"{this_host()}:{os.getpid()}:")
    assert not Heart(handle).is_gone(handle.trial(0))


def test_a_trial_without_a_mark_is_waited_for(site: Site) -> None:
    handle = site.handle()
    handle.study.ask()
    other = Heart(handle)
    other.beat()
    assert not other.is_gone(handle.trial(0))
    for _ in range(6):
        other.beat()
    assert other.is_gone(handle.trial(0))


def test_the_thread_beats_by_itself_and_ends(site: Site) -> None:
    handle = site.handle()
    handle.study.ask()
    heart = Heart(handle, beat_s=0.01)
    heart.hold(0)
    heart.start()
    while mark_of(handle.trial(0))[1] < 3:
        pass
    heart.stop()
    beats = mark_of(handle.trial(0))[1]
    assert mark_of(handle.trial(0))[1] == beats
