"""optuna-dashboard over several studies, asked over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import optuna
import pytest

from search.dashboard import open_server
from trainer import UserError


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("studies")
    for name in ("one", "two"):
        study = optuna.create_study(
            storage=f"sqlite:///{tmp_path}/{name}.db", study_name=name, direction="maximize"
        )
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3 if name == "one" else 5)
    (tmp_path / "torn.db").write_bytes(b"no database")
    return tmp_path


@pytest.fixture
def address(studies: Path) -> Iterator[str]:
    with open_server(studies, host="127.0.0.1", port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def ask(url: str) -> Any:
    with urlopen(url, timeout=30) as answer:
        return json.load(answer)


def ids(address: str) -> dict[str, int]:
    found = ask(f"{address}/api/studies")["study_summaries"]
    return {study["study_name"]: study["study_id"] for study in found}


def test_the_dashboard_lists_every_study_of_the_directory(address: str) -> None:
    assert ids(address).keys() == {"one", "two"}


def test_each_study_shows_its_own_trials(address: str) -> None:
    trials = {name: ask(f"{address}/api/studies/{number}")["trials"] for name, number in ids(address).items()}
    assert {name: len(found) for name, found in trials.items()} == {"one": 3, "two": 5}
    numbers = [trial["trial_id"] for found in trials.values() for trial in found]
    assert len(set(numbers)) == 8


def test_the_figures_that_need_a_whole_study_are_drawn(address: str) -> None:
    number = ids(address)["two"]
    importances = ask(f"{address}/api/studies/{number}/param_importances")
    assert importances["param_importances"][0][0]["name"] == "x"


def test_the_page_itself_is_served(address: str) -> None:
    with urlopen(f"{address}/", timeout=30) as answer:
        assert answer.url.endswith("/dashboard")
        assert b"Optuna Dashboard" in answer.read()


def test_a_study_made_meanwhile_appears_and_the_others_keep_their_addresses(
    address: str, studies: Path
) -> None:
    before = ids(address)
    optuna.create_study(storage=f"sqlite:///{studies}/a-new-one.db", study_name="a-new-one")
    after = ids(address)
    (studies / "a-new-one.db").unlink()
    assert after.keys() == {"one", "two", "a-new-one"}
    assert before.items() <= after.items()
    assert ids(address) == before


def test_nothing_can_be_deleted_through_it(address: str) -> None:
    for name, number in ids(address).items():
        with pytest.raises(HTTPError) as refused:
            urlopen(Request(f"{address}/api/studies/{number}", method="DELETE"), timeout=30)
        assert refused.value.code == 405
        assert name in ids(address)


def test_a_taken_port_is_one_line(address: str, studies: Path) -> None:
    port = int(address.rpartition(":")[2])
    with pytest.raises(UserError, match=rf"cannot listen on 127.0.0.1:{port}.*--port"):
        open_server(studies, host="127.0.0.1", port=port)


def test_a_missing_directory_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no directory"):
        open_server(tmp_path / "nowhere", host="127.0.0.1", port=0)
