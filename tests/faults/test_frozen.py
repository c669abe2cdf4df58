"""Storage servers that are frozen (SIGSTOP): they keep every connection, take every call, and answer none."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
from optuna.trial import FrozenTrial, TrialState

from search.lines import read_lines
from search.storage.answers import LIMIT_VARIABLE, Answers
from search.storage.storage import open_existing
from search.storage.url import sqlite_url
from tests.faults.moments import Moment, begin, cp_search, read_until, wait_for
from tests.faults.test_grpc import await_server, served
from tests.faults.test_power import COMMAND, INTERRUPTED, press_ctrl_c, project
from tests.search.storage.postgres import Postgres, free_port

pytestmark = pytest.mark.slow

#: the server stops under a trial, at each of its checkpoints; or when its outcome is there, and is to be told
UNDER_TRIAL = Moment("os.rename", "trial-0000/checkpoints/last$", "frozen", after=True)
UNDER_OUTCOME = Moment("os.rename", "trial-0000/outcome.json", "frozen")


@dataclass(frozen=True)
class Server:
    """url: as workers know it. pid: of the process whose stop stops all of it. beside: the same storage."""

    url: str
    pid: int
    beside: str

    def at(self, moment: Moment) -> Moment:
        """It freezes then."""
        return replace(moment, filler=str(self.pid))

    def thaw(self) -> None:
        """Let it go on."""
        for process in family_of(self.pid):
            with suppress(psutil.NoSuchProcess):  # its connection was given up meanwhile
                process.resume()

    def trials(self) -> list[FrozenTrial]:
        """As they are stored."""
        storage = open_existing(self.beside)
        return storage.get_all_trials(storage.get_study_id_from_name("good"))


def family_of(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return project(tmp_path / "home", epochs=2)


@pytest.fixture
def grpc(home: Path) -> Iterator[Server]:
    port, file = free_port(), home / "studies" / "good.db"
    with served(file, port) as process:
        await_server(port)
        yield Server(f"grpc://127.0.0.1:{port}", process.pid, sqlite_url(file))


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Server]:
    url = postgres.new_database()
    with resumed(Server(url, postgres.pid, url)) as server:
        yield server


@contextmanager
def resumed(server: Server) -> Iterator[Server]:
    """Whatever happens, other tests find it awake."""
    try:
        yield server
    finally:
        server.thaw()


@pytest.fixture(params=["grpc", "database"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Server:
    found: Server = request.getfixturevalue(request.param)
    monkeypatch.setenv("CP_SEARCH_STORAGE", found.url)
    return found


def begun(home: Path, *, moment: Moment | None = None) -> subprocess.Popen[str]:
    return begin(cp_search(*COMMAND), home=home, moment=moment)


def attempts(home: Path, number: int) -> int:
    return sum("began" in one for one in read_lines(home / f"studies/good/trial-{number:04d}/attempts.jsonl"))


def test_a_frozen_server_is_waited_for_and_costs_no_trial(
    home: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "2")
    process = begun(home, moment=server.at(UNDER_OUTCOME))
    read_until(process, "The storage does not answer (no answer within 2 s); waiting up to 10 min")
    server.thaw()
    ended = wait_for(process)
    assert ended.code == 0, ended.err
    assert "The storage is back." in ended.err
    assert [trial.state for trial in server.trials()] == [TrialState.COMPLETE] * 2
    assert [sorted(trial.intermediate_values) for trial in server.trials()] == [[1, 2, 3, 4]] * 2
    assert [attempts(home, number) for number in (0, 1)] == [1, 1]


@pytest.mark.parametrize(
    ("limit", "by"),
    [("2", "Ctrl-C"), ("", "SIGTERM")],
    ids=["once it counts as away", "before it counts as away"],
)
def test_the_first_signal_is_heeded_while_the_server_is_frozen(
    home: Path, server: Server, monkeypatch: pytest.MonkeyPatch, limit: str, by: str
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, limit)
    process = begun(home, moment=server.at(UNDER_TRIAL))
    if limit:
        read_until(process, "does not answer")
    else:
        read_until(process, "Trial 0 starts")
        while psutil.Process(server.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.05)
    asked = time.monotonic()
    press_ctrl_c(process) if by == "Ctrl-C" else process.terminate()
    ended = wait_for(process)
    assert ended.code == INTERRUPTED
    assert time.monotonic() - asked < Answers.limit_s / 2
    assert ended.err.strip().splitlines()[-1].startswith("Interrupted while the storage does not answer.")
    assert (home / "studies/good/trial-0000/checkpoints/last").is_dir()

    server.thaw()
    again = wait_for(begun(home))
    assert again.code == 0, again.err
    assert "Trial 0 goes on" in again.err
    assert [trial.state for trial in server.trials()] == [TrialState.COMPLETE] * 2
    assert [sorted(trial.intermediate_values) for trial in server.trials()] == [[1, 2, 3, 4]] * 2
