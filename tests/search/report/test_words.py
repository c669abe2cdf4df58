"""The report's words are complete in every language."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.language import LANGUAGES
from search.report.words import Words, table
from tests.conftest import ROOT

_LISTED = re.compile(r"headings = \(([^)]*)\)")
CODE = sorted((ROOT / "search" / "report").rglob("*.py"))


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_text_with_the_same_placeholders(language: str) -> None:
    english, other = table("en"), table(language)
    assert other.keys() == english.keys()
    assert {key: placeholders(text) for key, text in other.items()} == {
        key: placeholders(text) for key, text in english.items()
    }


def asked(path: Path) -> Iterator[tuple[str, set[str] | None]]:
    """Every literal `words("key", name=…)` in a file: the key and the names given (None: not all literal)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "words"):
            continue
        names = {keyword.arg for keyword in node.keywords}
        given = None if None in names else {name for name in names if name}
        first = node.args[0]
        keys = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
        yield from ((str(key.value), given) for key in keys if isinstance(key, ast.Constant))


def test_every_text_that_the_code_asks_for_is_there_and_gets_what_it_needs() -> None:
    calls = [call for path in CODE for call in asked(path)]
    assert len(calls) > 100
    known = table("en")
    assert {key for key, _ in calls} - known.keys() == set()
    wrong = {key for key, given in calls if given is not None and given != placeholders(known[key])}
    assert wrong == set()


def test_every_heading_that_the_code_lists_is_there() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in CODE)
    names = {name for listed in _LISTED.findall(code) for name in re.findall(r'"(\w+)"', listed)}
    assert len(names) > 20
    assert {f"heading.{name}" for name in names} - table("en").keys() == set()


def test_chinese_texts_are_chinese_and_in_the_wording_of_taiwan() -> None:
    # 繁 where a simplified form or a mainland word would give it away
    foreign = re.compile("[们这为对时个国说显数据习]|內存|默認|數據|視頻|軟件|信息|批次大小")
    latin_only = {key for key, text in table("zh-TW").items() if not re.search("[\u4e00-\u9fff]", text)}
    assert {key: text for key, text in table("zh-TW").items() if foreign.search(text)} == {}
    allowed = {"between", "list.comma", "interval.value", "config.file", "page.about", "stat.ahead_span"}
    assert {key for key in latin_only if not key.startswith("heading.")} <= allowed
    assert {table("zh-TW")[key] for key in latin_only if key.startswith("heading.")} == {"Macro-F1", "F1"}


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_are_in_units_a_person_can_grasp(seconds: float, shown: str) -> None:
    assert Words("en", table("en")).duration(seconds) == shown


def test_the_tables_are_files_that_the_wheel_carries() -> None:
    assert {path.name for path in Path(ROOT / "search/report/assets").glob("words.*.yaml")} == {
        f"words.{language}.yaml" for language in LANGUAGES
    }
