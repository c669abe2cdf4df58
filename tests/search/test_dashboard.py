"""optuna-dashboard over several studies, asked over HTTP."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import optuna
import pytest

from search.catalog import Catalog
from search.dashboard import Place, open_server, open_shelf
from search.importing import mark
from tests.conftest import CommandLine
from tests.search.report.studies import whole_study
from tests.search.storage.postgres import Postgres
from trainer import StorageFault, UserError


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


@contextmanager
def served(studies: Path, storage_url: str | None = None, **place: Any) -> Iterator[str]:
    shelf = open_shelf(Catalog(studies, storage_url))
    with open_server(shelf, place=Place(port=0, **place), say=print) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def address(studies: Path) -> Iterator[str]:
    with served(studies) as found:
        yield found


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


def refused(url: str, method: str = "DELETE", **headers: str) -> tuple[int, str]:
    body = b'{"version": 1, "body": "taken"}' if method == "PUT" else None
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    with pytest.raises(HTTPError) as error:
        urlopen(Request(url, method=method, data=body, headers=sent), timeout=30)
    return error.value.code, json.load(error.value)["reason"]


def test_nothing_can_be_deleted_through_it(address: str) -> None:
    for name, number in ids(address).items():
        code, reason = refused(f"{address}/api/studies/{number}")
        assert (code, "cp-search study" in reason) == (405, True)
        assert name in ids(address)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_another_site_cannot_write(address: str, headers: dict[str, str]) -> None:
    number = ids(address)["one"]
    assert refused(f"{address}/api/studies/{number}/note", "PUT", **headers)[0] == 403
    assert ask(f"{address}/api/studies/{number}")["note"]["body"] == ""


def test_a_name_that_somebody_else_points_here_is_refused_even_to_read(address: str) -> None:
    code, reason = refused(f"{address}/api/studies", "GET", Host="evil.example:8080")
    assert (code, "host name" in reason) == (403, True)


def test_another_site_may_link_here_but_not_read(address: str) -> None:
    assert refused(f"{address}/api/studies", "GET", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")
    followed = Request(
        f"{address}/dashboard", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    )
    with urlopen(followed, timeout=30) as answer:
        assert answer.status == 200
        assert answer.headers["X-Frame-Options"] == "DENY"


def test_a_taken_port_is_replaced_by_a_free_one_and_that_is_said(address: str, studies: Path) -> None:
    port, lines = int(address.rpartition(":")[2]), list[str]()
    with open_server(open_shelf(Catalog(studies)), place=Place(port=port), say=lines.append) as server:
        assert server.server_port != port
        assert lines == [f"Port {port} is taken; {server.server_port} is free and used instead"]


def test_a_missing_directory_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no directory"):
        open_shelf(Catalog(tmp_path / "nowhere"))


def test_an_address_that_is_not_here_is_one_line(studies: Path) -> None:
    with pytest.raises(UserError, match=r"cannot listen on 192.0.2.1:0.*--host"):
        open_server(open_shelf(Catalog(studies)), place=Place("192.0.2.1", 0), say=print)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("whole")
    whole_study(home)
    return home


def test_a_study_shows_its_note_constraint_artifacts_and_memory(whole: Path) -> None:
    with served(whole) as address:
        number = ids(address)["whole"]
        study = ask(f"{address}/api/studies/{number}")
        assert "Not searched, because the card cannot hold it" in study["note"]["body"]
        assert "cp-search report whole" in study["note"]["body"]
        assert [plot["id"] for plot in study["plotly_graph_objects"]] == ["memory"]
        oom = study["trials"][7]
        assert "**Trial 7: pruned**, oom" in oom["note"]["body"]
        assert "planned 1.93 GiB, measured 1.89 GiB, limit 3.66 GiB" in oom["note"]["body"]
        assert oom["constraints"] == [0.5]
        shown = {each["filename"]: each for each in [*study["artifacts"], *oom["artifacts"]]}
        assert shown.keys() == {"confusion-toxicity.svg", "config.yaml", "learning-curve.svg"}
        of_trial = f"{address}/artifacts/{number}/{oom['trial_id']}"
        with urlopen(f"{of_trial}/{shown['learning-curve.svg']['artifact_id']}", timeout=30) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] is None
            assert answer.read().startswith(b"<svg")


def test_a_study_whose_import_was_cut_off_says_so_in_the_list_and_in_its_note(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/half.db"
    study = optuna.create_study(storage=url, study_name="half", direction="maximize")
    study.add_trial(optuna.trial.create_trial(value=0.5))
    mark(study, importing=True)
    with served(tmp_path) as address:
        number = ids(address)["half (half imported)"]
        shown = ask(f"{address}/api/studies/{number}")
        assert shown["name"] == "half (half imported)"
        assert len(shown["trials"]) == 1
        assert "the same `cp-search study import` again" in shown["note"]["body"]
        assert open_shelf(Catalog(tmp_path)).get_study_id_from_name("half") == number
        mark(study, importing=False)
        assert ids(address) == {"half": number}
        assert "study import" not in ask(f"{address}/api/studies/{number}")["note"]["body"]


def put(url: str, body: dict[str, Any], **headers: str) -> int:
    request = Request(url, method="PUT", data=json.dumps(body).encode(), headers=headers)
    request.add_header("Content-Type", "application/json")
    with urlopen(request, timeout=30) as answer:
        return int(answer.status)


def test_a_note_of_ones_own_is_kept_in_the_study_and_stands_in_place_of_ours(whole: Path) -> None:
    with served(whole) as address:
        number = ids(address)["whole"]
        url = f"{address}/api/studies/{number}"
        trial = ask(url)["trials"][3]["trial_id"]
        assert put(f"{url}/{trial}/note", {"version": 1, "body": "mine"}, Origin=address) == 204
        assert ask(url)["trials"][3]["note"] == {"version": 1, "body": "mine"}
        assert "Trial 4" in ask(url)["trials"][4]["note"]["body"]
    study = optuna.load_study(study_name="whole", storage=f"sqlite:///{whole}/whole.db")
    assert study._storage.get_study_system_attrs(study._study_id)["dashboard:4:note_str:0"] == "mine"


def test_read_only_takes_no_notes(whole: Path) -> None:
    with served(whole, read_only=True) as address:
        number = ids(address)["whole"]
        code, reason = refused(f"{address}/api/studies/{number}/note", "PUT")
        assert (code, "--read-only" in reason) == (405, True)


@pytest.mark.slow
def test_the_studies_of_a_database_are_shown_behind_the_same_gate(
    whole: Path, tmp_path: Path, postgres: Postgres, cp_search: CommandLine
) -> None:
    url = postgres.new_database()
    for name in ("whole", "other"):
        optuna.create_study(storage=url, study_name=name, direction="maximize")
    optuna.copy_study(
        from_study_name="whole",
        from_storage=f"sqlite:///{whole}/whole.db",
        to_storage=url,
        to_study_name="copied",
    )
    shutil.copytree(whole / "whole", tmp_path / "copied")
    with served(tmp_path, url) as address:
        assert ids(address).keys() == {"whole", "other", "copied"}
        number = ids(address)["copied"]
        study = ask(f"{address}/api/studies/{number}")
        assert "cp-search report copied" in study["note"]["body"]
        oom = study["trials"][7]
        assert "planned 1.93 GiB, measured 1.89 GiB, limit 3.66 GiB" in oom["note"]["body"]
        reported = cp_search("report", "copied", "--md", "--studies-dir", str(tmp_path), "--storage", url)
        assert reported.stdout.startswith("# copied"), reported.stderr
        stands = cp_search("status", "copied", "--json", "--studies-dir", str(tmp_path), "--storage", url)
        assert json.loads(stands.stdout)["name"] == "copied"
        assert refused(f"{address}/api/studies/{number}")[0] == 405
        mine = {"version": 1, "body": "mine"}
        assert put(f"{address}/api/studies/{number}/{oom['trial_id']}/note", mine) == 204
        assert ask(f"{address}/api/studies/{number}")["trials"][7]["note"] == mine


@pytest.mark.slow
def test_what_a_database_gets_meanwhile_is_noticed(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.new_database()
    study = optuna.create_study(storage=url, study_name="growing", direction="maximize")
    shelf = open_shelf(Catalog(tmp_path, url))
    number = shelf.get_study_id_from_name("growing")
    for count in (1, 2):
        study.add_trial(optuna.trial.create_trial(value=0.9))
        notes = [key for key in shelf.get_study_system_attrs(number) if key.endswith("note_str:0")]
        assert len(notes) == len(shelf.get_all_trials(number)) == count


def test_a_storage_with_a_password_shows_it_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((UserError, StorageFault)) as error:
        open_shelf(Catalog(Path("studies"), "postgresql+psycopg://me:S3cr3t@127.0.0.1:1/none"))
    assert "S3cr3t" not in str(error.value)
