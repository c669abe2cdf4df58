"""The report in Chromium."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from optuna.trial import TrialState
from selenium.webdriver import Keys

from search.catalog import locate_study
from search.language import LANGUAGES
from search.report.compose import compose
from search.report.gather import gather
from search.report.html import render_html
from search.report.words import words_in
from tests.browser.browser import SCHEMES, Browser
from tests.search.report.studies import bare_study, whole_study

pytestmark = pytest.mark.slow

_UNREACHABLE = """
const wanted = [...document.querySelectorAll('a, summary, button, [tabindex="0"]')];
return wanted.filter(e => e.checkVisibility() && e.tabIndex < 0).length
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Study and language -> the address of its page."""
    home = tmp_path_factory.mktemp("pages")
    whole_study(home)
    bare_study(home, TrialState.PRUNED, TrialState.RUNNING)
    return {
        f"{name} {language}": page(home, name, language)
        for name in ("whole", "bare")
        for language in LANGUAGES
    }


def page(home: Path, name: str, language: str) -> str:
    facts = gather(locate_study(name, home), studies_dir=home)
    file = home / f"{name}.{language}.html"
    file.write_text(render_html(compose(facts, words_in(language))), encoding="utf-8")
    return file.as_uri()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("which", ["whole en", "whole zh-TW", "bare en"])
def test_the_page_is_quiet_whole_and_accessible(
    browser: Browser, axe: str, pages: dict[str, str], which: str, scheme: str
) -> None:
    browser.open(pages[which], scheme=scheme)
    assert browser.logs() == []
    asked = [address for address in browser.requests() if not address.startswith("data:")]
    assert asked == [pages[which]]
    assert browser.run("return document.querySelectorAll('table').length") >= 1
    empty = "return [...document.querySelectorAll('figure svg')].filter(s => !s.querySelector('path')).length"
    assert browser.run(empty) == 0
    assert browser.run("document.querySelectorAll('details').forEach(d => d.open = true)") is None
    assert browser.violations(axe) == []


def test_the_plots_of_a_whole_study_are_there_and_have_their_size(
    browser: Browser, pages: dict[str, str]
) -> None:
    browser.open(pages["whole en"])
    sizes = browser.run(
        "return [...document.querySelectorAll('.plot svg')].map(s => s.getBoundingClientRect().width)"
    )
    assert len(sizes) == 8  # history, parallel, four slices, curves, memory
    assert min(sizes) > 100


@pytest.mark.parametrize("which", ["whole en", "whole zh-TW", "bare en"])
def test_nothing_scrolls_sideways_on_a_phone(browser: Browser, pages: dict[str, str], which: str) -> None:
    browser.open(pages[which], width=390)
    assert browser.run("return document.documentElement.scrollWidth") <= 390


def test_a_text_of_an_error_is_no_column_of_single_characters_on_a_phone(
    browser: Browser, pages: dict[str, str]
) -> None:
    browser.open(pages["whole en"], width=390)
    widths = browser.run(
        "return [...document.querySelectorAll('tbody [lang=zh]')].map(c => c.getBoundingClientRect().width)"
    )
    assert widths
    assert min(widths) >= 250


def test_the_dark_page_is_dark_and_the_light_one_light(browser: Browser, pages: dict[str, str]) -> None:
    shades = []
    for scheme in SCHEMES:
        browser.open(pages["whole en"], scheme=scheme)
        colour = browser.run("return getComputedStyle(document.body).backgroundColor")
        shades.append(sum(int(part) for part in colour.strip("rgb()").split(",")))
    assert shades[0] > 600 > 150 > shades[1]


def test_everything_is_reached_with_the_keyboard(browser: Browser, pages: dict[str, str]) -> None:
    browser.open(pages["whole en"])
    assert browser.press() == "Skip to the answer"
    assert browser.press() == "How good it is"
    assert browser.run(_UNREACHABLE) == 0


def test_hostile_text_is_shown_and_not_run(browser: Browser, pages: dict[str, str]) -> None:
    browser.open(pages["whole en"])
    assert browser.driver.title == "whole · Search report"
    assert "document.title='taken'" in browser.run("return document.body.innerText")


def test_the_configuration_is_copied_from_the_keyboard(browser: Browser, pages: dict[str, str]) -> None:
    browser.open(pages["whole en"])
    browser.driver.find_element("css selector", "button[data-copies]").send_keys(Keys.ENTER)
    assert browser.wait_for("document.querySelector('[role=status]').textContent") == "Copied"


def test_it_prints_on_paper(browser: Browser, pages: dict[str, str]) -> None:
    browser.open(pages["whole en"], scheme="dark")
    printed = browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run("return getComputedStyle(document.querySelector('nav')).display") == "none"
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
