"""The messages that the troubleshooting pages explain are messages of the program."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT
from tests.wording import worded

HEADING = re.compile(r"^### `(.+)`$", re.MULTILINE)


def headings() -> list[str]:
    return HEADING.findall((ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def said() -> set[str]:
    return set(worded())


@pytest.mark.parametrize("heading", headings())
def test_a_heading_is_a_message_of_the_program(heading: str, said: set[str]) -> None:
    pattern = re.compile(".*".join(map(re.escape, heading.split("…"))), re.DOTALL)
    assert any(pattern.fullmatch(text) for text in said)
