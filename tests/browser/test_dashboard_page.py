"""optuna-dashboard behind our gate, in Chromium."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.catalog import Catalog
from search.dashboard import Place, open_server, open_shelf
from tests.browser.browser import Browser
from tests.search.report.studies import whole_study

pytestmark = pytest.mark.slow

#: what optuna-dashboard 0.21 breaks: buttons and fields without a name, pale words, odd lists
KNOWN = {"aria-input-field-name", "button-name", "color-contrast", "label", "list", "listitem"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("studies")
    whole_study(made)
    return made


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with open_server(open_shelf(Catalog(home)), place=Place(port=0), say=print) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_study_is_shown_with_its_note_and_asks_only_its_own_server(
    browser: Browser, address: str, home: Path
) -> None:
    number = open_shelf(Catalog(home)).get_study_id_from_name("whole")
    browser.open(f"{address}/dashboard/studies/{number}/note")
    browser.wait_for("document.body.innerText.includes('because the card cannot hold it')")
    asked = [one for one in browser.requests() if not one.startswith(("data:", "blob:"))]
    assert asked
    assert all(one.startswith(address) for one in asked)
    assert [line for line in browser.logs() if "favicon" not in line] == []


@pytest.mark.parametrize("page", ["", "/note", "/trialTable", "/trials"])
def test_axe_finds_nothing_but_what_optuna_dashboard_is_known_for(
    browser: Browser, axe: str, address: str, home: Path, page: str
) -> None:
    number = open_shelf(Catalog(home)).get_study_id_from_name("whole")
    browser.open(f"{address}/dashboard/studies/{number}{page}")
    browser.wait_for("document.body.innerText.includes('whole')")
    assert browser.grave_rules(axe) <= KNOWN


def test_a_page_of_another_site_cannot_write_or_read(browser: Browser, address: str, home: Path) -> None:
    number = open_shelf(Catalog(home)).get_study_id_from_name("whole")
    browser.open("data:text/html,<title>elsewhere</title>")
    script = """
    const done = arguments[arguments.length - 1];
    fetch(arguments[0], {method: "DELETE", mode: "no-cors"}).then(() => done("sent"), e => done("refused"));
    """
    browser.driver.execute_async_script(script, f"{address}/api/studies/{number}")
    assert open_shelf(Catalog(home)).get_study_name_from_id(number) == "whole"
    seen = browser.driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "fetch(arguments[0]).then(a => a.text()).then(done, e => done('refused'))",
        f"{address}/api/studies",
    )
    assert seen == "refused"
