"""The child's side of a trial, without a process of its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path

import pytest

from search.engine import child
from search.engine.child import OUTCOME, Line, _watch_parent, work
from tests.search.fakes import Scripted


@dataclass(frozen=True)
class Parent:
    """What `multiprocessing.parent_process` gives."""

    alive: bool
    sentinel: object = None

    def is_alive(self) -> bool:
        return self.alive


@pytest.mark.parametrize(("alive", "status"), [(False, "of the next attempt"), (True, "interrupted")])
def test_who_gets_the_lock_after_its_worker_died_leaves_the_next_attempt_s_outcome_alone(
    alive: bool, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / OUTCOME).write_text('{"status": "of the next attempt"}')
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: Parent(alive))
    ours, theirs = Pipe()
    theirs.close()  # the worker is gone, or was just told to stop
    line = Line(ours)
    line.interrupt()
    work(Scripted(str(tmp_path)), line)
    assert json.loads((tmp_path / OUTCOME).read_text())["status"] == status


def test_an_orphan_that_is_ended_says_that_it_lived_and_nothing_is_written_after_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, sentinel = Pipe()
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: Parent(alive=True, sentinel=sentinel))
    monkeypatch.setattr(child, "ORPHAN_GRACE_S", 0.0)
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    evaluates, ended = threading.Event(), threading.Event()

    def evaluate() -> None:
        evaluates.set()
        assert ended.wait(60)

    line = Line(Pipe()[0])
    job = threading.Thread(target=work, args=(Scripted(str(tmp_path), values=(), after=evaluate), line))
    job.start()
    assert evaluates.wait(60)
    worker.close()
    _watch_parent(line, tmp_path)
    assert codes == [70]
    ended.set()
    job.join(timeout=60)
    assert json.loads((tmp_path / OUTCOME).read_text())["status"] == "interrupted"


def test_an_orphan_that_is_ended_before_its_work_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, sentinel = Pipe()
    worker.close()
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: Parent(alive=False, sentinel=sentinel))
    monkeypatch.setattr(child, "ORPHAN_GRACE_S", 0.0)
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    _watch_parent(Line(Pipe()[0]), tmp_path)
    assert (codes, list(tmp_path.iterdir())) == ([70], [])
