"""The child's side of a trial, without a process of its own."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path

import pytest

from search.engine.child import OUTCOME, Line, work
from tests.search.fakes import Scripted


@dataclass(frozen=True)
class Parent:
    """What `multiprocessing.parent_process` gives."""

    alive: bool

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
