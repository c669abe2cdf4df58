"""The messages that the troubleshooting pages explain are messages of the program."""

from __future__ import annotations

import re

import pytest

from search.language.catalogue import messages
from tests.conftest import ROOT
from tests.wording import worded

HEADING = re.compile(r"^### `(.+)`$", re.MULTILINE)


def headings(page: str) -> list[str]:
    return HEADING.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))


def pattern(heading: str) -> re.Pattern[str]:
    """The messages that `heading` stands for."""
    return re.compile(".*".join(map(re.escape, heading.split("…"))), re.DOTALL)


@pytest.fixture(scope="module")
def said() -> set[str]:
    return set(worded())


@pytest.mark.parametrize("heading", headings("troubleshooting.md"))
def test_a_heading_is_a_message_of_the_program(heading: str, said: set[str]) -> None:
    assert any(pattern(heading).fullmatch(text) for text in said)


@pytest.mark.parametrize("heading", headings("troubleshooting.zh-TW.md"))
def test_a_chinese_heading_is_a_message_as_it_is_said_in_chinese(heading: str) -> None:
    assert any(pattern(heading).fullmatch(text) for text in messages("zh-TW").values())
