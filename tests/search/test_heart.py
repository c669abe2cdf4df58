"""The mark of an owner: what can be known of it without waiting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.heart import Heart, mark_of, this_host
from search.study import StudyHandle
from tests.search.storage.storages import Site, memory_site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    with memory_site(tmp_path) as site:
        return site


def gone(heart: Heart, handle: StudyHandle) -> bool:
    """Does the heart know the owner of trial 0 to be gone?"""
    return heart.is_gone(0, mark_of(handle.trial(0)))


def test_a_trial_of_a_dead_process_of_this_host_is_to_be_had_at_once(site: Site) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    handle = site.handle()
    handle.study.ask()
    Heart(handle, name=f"{this_host()}:{dead.pid}:x").hold(0)
    assert gone(Heart(handle), handle)


def test_a_process_id_of_another_host_says_nothing(site: Site) -> None:
    handle = site.handle()
    handle.study.ask()
    Heart(handle, name="another-host:boot:4026:999999:x").hold(0)
    assert not gone(Heart(handle), handle)


def test_a_living_worker_of_this_host_is_not_gone(site: Site) -> None:
    handle = site.handle()
    handle.study.ask()
    heart = Heart(handle)
    heart.hold(0)
    assert mark_of(handle.trial(0))[0].startswith(f"{this_host()}:{os.getpid()}:")
    assert not gone(Heart(handle), handle)


def test_a_trial_without_a_mark_is_waited_for(site: Site) -> None:
    handle = site.handle()
    handle.study.ask()
    other = Heart(handle)
    other.beat()
    assert not gone(other, handle)
    for _ in range(6):
        other.beat()
    assert gone(other, handle)


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
