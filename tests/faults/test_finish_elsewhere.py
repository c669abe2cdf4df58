"""Two machines that share a database, and a directory or none: the final model is made on one of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import optuna
import pytest

from search.finish.whereabouts import models
from search.storage.storage import open_existing, quiet_optuna
from search.storage.url import sqlite_url
from tests.faults.moments import KILLED, Ended, Moment, begin, cp_search, family, read_until, run, wait_for
from tests.faults.test_killed_finish import project
from tests.search.storage.postgres import Postgres
from tests.search.storage.storages import grpc_server

pytestmark = pytest.mark.slow

COMMAND = ("run", "space.yaml", "--jobs", "1")
FINAL = "studies/good/final/final.json"


def where(ended: Ended) -> list[str]:
    """What the command says of a model that is not here."""
    return [line for line in ended.out.splitlines() if line.startswith("The final model was made on")]


def test_the_finish_of_machines_without_a_shared_directory_is_made_once_whoever_dies(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.new_database()
    monkeypatch.setenv("CP_SEARCH_STORAGE", url)
    one, two = project(tmp_path / "one"), project(tmp_path / "two")

    first = begin(cp_search(*COMMAND), home=one)
    read_until(first, "Confirming trial 0, seed 1043 | evaluation 1")
    for process in family(first.pid):
        process.suspend()

    second = begin(cp_search(*COMMAND), home=two)
    read_until(second, f"finishes this study on {socket.gethostname()}; waiting for it")
    second.send_signal(signal.SIGINT)
    assert wait_for(second).code == 130
    assert not (two / "studies/good/confirm").exists()

    os.killpg(first.pid, signal.SIGKILL)
    wait_for(first)
    made = run(two, *COMMAND)
    assert made.code == 0, made.err
    assert (two / FINAL).is_file()
    assert where(made) == []

    again = run(one, *COMMAND, "--json")
    assert again.code == 0, again.err
    assert "Retraining" not in again.err
    model = str(two / "studies/good/final/model")
    for document in (json.loads(again.out)["elsewhere"], *status_of(one)["elsewhere"]):
        assert (document["host"], document["model_dir"]) == (socket.gethostname(), model)
    assert json.loads(again.out)["final"] is None


def status_of(home: Path) -> Any:
    """`cp-search status --json`."""
    return json.loads(run(home, "status", "good", "--json").out)


def test_a_death_between_the_model_and_the_word_of_it_costs_nothing_where_it_was_made(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CP_SEARCH_STORAGE", postgres.new_database())
    home = project(tmp_path / "one")
    died = run(home, *COMMAND, moment=Moment("os.rename", r"final/final\.json$", "worker", after=True))
    assert died.code == -signal.SIGKILL
    assert (home / FINAL).is_file()
    made = (home / FINAL).stat().st_mtime_ns
    again = run(home, *COMMAND)
    assert again.code == 0, again.err
    assert "is retrained already" in again.err
    assert (home / FINAL).stat().st_mtime_ns == made
    there = f"{socket.gethostname()}: {home / 'studies/good/final/model'}"
    assert where(run(project(tmp_path / "two"), *COMMAND)) == [
        f"The final model was made on {there}; cp-search retrain good makes one here"
    ]


def on_machine(name: str) -> list[str]:
    """The command line of the search as typed on another machine."""
    return [sys.executable, "-m", "tests.faults.elsewhere", name, *COMMAND]


@pytest.mark.parametrize("kind", ["postgres", "grpc"])
def test_a_finish_in_a_shared_directory_whose_machine_died_is_gone_on_with_by_another(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = project(tmp_path / "shared")
    final = home / "studies/good/final"
    with ExitStack() as stack:
        if kind == "postgres":
            url = request.getfixturevalue("postgres").new_database()
        else:
            url = stack.enter_context(grpc_server(sqlite_url(tmp_path / "served.db")))
        monkeypatch.setenv("CP_SEARCH_STORAGE", url)
        dying = Moment("os.rename", r"parts/evaluation/outcome\.json$")
        first = begin(on_machine("alpha"), home=home, moment=dying)
        read_until(first, "Retraining trial 0")
        for process in family(first.pid):
            process.suspend()
        second = begin(on_machine("beta"), home=home)
        read_until(second, "Another worker finishes this study; waiting for it")
        for process in family(first.pid):
            process.resume()
        assert wait_for(first).code == KILLED
        done = {path: path.stat().st_mtime_ns for path in made_once(home)}
        assert {path.name for path in done} == {"confirmation.json", "outcome.json", "rule.json"}
        assert not (final / "evaluation.json").exists()

        ended = wait_for(second)
        assert ended.code == 0, ended.err
        assert "Another worker finishes this study on alpha; waiting for it" in ended.err
        for part in ("Confirming", "Retraining", "Fitting the decision rule"):
            assert part not in ended.err
        assert ended.err.count("Evaluating once") == 1
        assert {path: path.stat().st_mtime_ns for path in made_once(home)} == done
        assert [path.name for path in final.parent.glob("final*")] == ["final"]
        (known,) = models(stored_study(url), directory=final.parent)
        assert (known.host, known.model_dir) == ("beta", str(final / "model"))


def made_once(home: Path) -> list[Path]:
    """What was finished before the evaluation."""
    study = home / "studies/good"
    trained = [*study.glob("confirm/trial-*/outcome.json"), study / "final/experiment/outcome.json"]
    return [study / "confirm/confirmation.json", *trained, study / "final/rule.json"]


def stored_study(url: str) -> optuna.Study:
    """The study as its storage has it."""
    quiet_optuna()
    return optuna.load_study(study_name="good", storage=open_existing(url))
