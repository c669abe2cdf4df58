"""`cp-search storage serve` as it is typed: workers go on through its death."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from optuna.trial import TrialState

from search.objective import suggest
from search.storage import sqlite_url
from search.study import open_study
from search.verdict import Verdict
from search.worker import tell
from tests.search.fakes import Bench
from tests.search.postgres import free_port

pytestmark = pytest.mark.slow


@contextmanager
def served(file: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The command, until the context ends."""
    words = ["storage", "serve", "--storage", sqlite_url(file), "--port", str(port)]
    server = subprocess.Popen([sys.executable, "-m", "search.cli", *words], stdout=subprocess.DEVNULL)
    try:
        yield server
    finally:
        server.kill()
        server.wait()


def test_a_server_that_is_killed_and_started_again_costs_no_trial(tmp_path: Path) -> None:
    heard: list[str] = []
    port, file = free_port(), tmp_path / "served.db"
    with served(file, port) as server:
        space = Bench(tmp_path).space()
        handle = open_study(space, storage_url=f"grpc://127.0.0.1:{port}", say=heard.append)
        first, second = handle.study.ask(), handle.study.ask()
        suggest(first, space)
        tell(handle, first, Verdict(TrialState.COMPLETE, value=0.5))
        server.kill()
        server.wait()
        with served(file, port):  # it takes seconds to answer; meanwhile the worker asks
            suggest(second, space)
            tell(handle, second, Verdict(TrialState.COMPLETE, value=0.75))
        stored = open_study(space, storage_url=sqlite_url(file)).trials()
    assert [trial.value for trial in stored] == [0.5, 0.75]
    assert "does not answer" in heard[0]
    assert heard[1] == "The storage is back."
