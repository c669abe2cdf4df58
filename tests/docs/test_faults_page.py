"""The fault table names tests that there are, and has a row for each test of `tests/faults`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

NAMED = re.compile(r"`(tests/[\w/]+\.py)::((?:\w+::)?test_\w+)`")


def named() -> list[tuple[str, str]]:
    """(file, test) of every test the page names."""
    return NAMED.findall((ROOT / "docs" / "faults.md").read_text(encoding="utf-8"))


def found_in(path: Path) -> Iterator[str]:
    """The tests of a file, as pytest names them."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            methods = (one.name for one in node.body if isinstance(one, ast.FunctionDef))
            yield from (f"{node.name}::{name}" for name in methods if name.startswith("test_"))


@pytest.mark.parametrize("file", sorted({file for file, _ in named()}))
def test_every_test_that_the_page_names_exists(file: str) -> None:
    assert {test for where, test in named() if where == file} <= set(found_in(ROOT / file))


def test_every_test_of_faults_has_its_row() -> None:
    files = sorted((ROOT / "tests" / "faults").glob("test_*.py"))
    there = {(path.relative_to(ROOT).as_posix(), test) for path in files for test in found_in(path)}
    assert there - set(named()) == set()


def test_every_row_of_the_page_names_a_test() -> None:
    lines = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| what happens")]
    assert [row for row in rows if not NAMED.search(row)] == []
