"""`cp-search storage serve` as it is typed: workers go on through its death."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.storages import GrpcStorageProxy
from optuna.trial import TrialState

from search.lines import read_lines
from search.objective import suggest
from search.storage.storage import quiet_optuna
from search.storage.url import sqlite_url
from search.study import open_study
from search.verdict import Verdict
from search.worker import tell
from tests.faults.moments import Moment, begin, cp_search, read_until, wait_for
from tests.faults.test_power import COMMAND, INTERRUPTED, press_ctrl_c, project, trials_of
from tests.search.fakes import Bench
from tests.search.storage.postgres import free_port

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


def await_server(port: int) -> None:
    """Until it answers."""
    quiet_optuna()
    storage = GrpcStorageProxy(host="127.0.0.1", port=port)
    storage.wait_server_ready(timeout=60)
    storage.close()


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


@pytest.mark.parametrize(
    ("moment", "goes_on"),
    [
        (Moment("os.rename", "trial-0000/checkpoints/last$", after=True), True),
        (Moment("os.rename", "trial-0000/outcome.json"), False),
    ],
    ids=["under a trial", "under an outcome"],
)
def test_the_first_ctrl_c_is_heeded_while_the_server_is_gone(
    tmp_path: Path, moment: Moment, goes_on: bool
) -> None:
    home, port = project(tmp_path / "home", epochs=2), free_port()
    file = home / "studies" / "good.db"
    words = (*COMMAND, "--storage", f"grpc://127.0.0.1:{port}")
    with served(file, port) as server:
        await_server(port)
        strike = replace(moment, victim="another", filler=str(server.pid))
        process = begin(cp_search(*words), home=home, moment=strike)
        read_until(process, "does not answer")
        press_ctrl_c(process)
        ended = wait_for(process)
    assert ended.code == INTERRUPTED
    assert ended.err.strip().splitlines()[-1].startswith("Interrupted while the storage does not answer.")

    with served(file, port):
        await_server(port)
        again = wait_for(begin(cp_search(*words), home=home))
    assert again.code == 0, again.err
    assert ("Trial 0 goes on" in again.err) == goes_on, again.err
    assert [trial.state for trial in trials_of(home)] == [TrialState.COMPLETE] * 2
    assert [sorted(trial.intermediate_values) for trial in trials_of(home)] == [[1, 2, 3, 4]] * 2
    begun = [one for one in read_lines(home / "studies/good/trial-0000/attempts.jsonl") if "began" in one]
    assert len(begun) == (2 if goes_on else 1)


def test_a_worker_past_the_server_is_refused(tmp_path: Path) -> None:
    home, port = project(tmp_path / "home", epochs=1), free_port()
    file = home / "studies" / "good.db"
    file.parent.mkdir()
    with served(file, port):
        await_server(port)
        past = wait_for(begin(cp_search(*COMMAND), home=home))
        assert past.code == 2
        assert "is served by cp-search storage serve; work on it with --storage grpc://" in past.err
        assert not (home / "studies/good").exists()
        through = wait_for(begin(cp_search(*COMMAND, "--storage", f"grpc://127.0.0.1:{port}"), home=home))
        assert through.code == 0, through.err
    assert len(trials_of(home)) == 2
