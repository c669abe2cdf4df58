"""The messages that the troubleshooting pages explain are messages of the program."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache

import pytest

from search.language.catalogue import messages
from tests.conftest import ROOT
from tests.wording import wordings

HEADING = re.compile(r"^### `(.+)`$", re.MULTILINE)


def headings(page: str) -> list[str]:
    return HEADING.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))


def is_one_of(heading: str, texts: Collection[str]) -> bool:
    """Does `heading`, in which … stands for anything, stand for one of `texts`?"""
    pattern = re.compile(".*".join(map(re.escape, heading.split("…"))), re.DOTALL)
    longest = max(heading.split("…"), key=len)
    return heading in texts or any(pattern.fullmatch(text) for text in texts if longest in text)


@cache
def said_in_chinese() -> frozenset[str]:
    return frozenset(messages("zh-TW").values())


@pytest.mark.parametrize("heading", headings("troubleshooting.md"))
def test_a_heading_is_a_message_of_the_program(heading: str) -> None:
    assert is_one_of(heading, wordings())


@pytest.mark.parametrize("heading", headings("troubleshooting.zh-TW.md"))
def test_a_chinese_heading_is_a_message_as_it_is_said_in_chinese(heading: str) -> None:
    assert is_one_of(heading, said_in_chinese())
