"""What a user may be told has a template: errors at their raise sites, and the help of options."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from search.language.catalogue import messages
from search.language.choice import LANGUAGES
from tests.conftest import ROOT
from tests.wording import piece

FIELD = re.compile(r"\{\w+\*?\}")
OTHERS = [language for language in LANGUAGES if language != "en"]
ERRORS = {"UserError", "ConfigError", "DataError", "ModelError", "StudyEnded", "StorageFault", "Problem"}
#: names that hold a message until it is raised
PENDING = {"message"}
#: too little of these is fixed to know them by: a place and another message, which is looked up by itself;
#: two splits and the scripts of their texts
VAGUE = {"{}: {}", "{}: {} is {}, {} is {}"}


@pytest.mark.parametrize("language", OTHERS)
def test_every_error_worded_where_it_is_raised_has_a_template(language: str) -> None:
    known = _known(language) | VAGUE
    assert [f"{where}: {text}" for where, text in _raised() if text not in known] == []


@pytest.mark.parametrize("language", OTHERS)
def test_every_option_s_help_has_a_template(language: str) -> None:
    known = _known(language)
    assert [f"{where}: {text}" for where, text in _helps() if text not in known] == []


def test_the_code_is_really_read() -> None:
    assert len(list(_raised())) > 150
    assert len(list(_helps())) > 100


def _known(language: str) -> set[str]:
    return {FIELD.sub("{}", english) for english in messages(language)}


def _raised() -> Iterator[tuple[str, str]]:
    for where, node in _nodes():
        if isinstance(node, ast.Call) and ast.unparse(node.func).partition(".")[0] in ERRORS:
            texts = map(_text, node.args)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in PENDING:
            texts = map(_text, [node.value])
        else:
            continue
        yield from ((where, text) for text in texts if " " in text)


def _helps() -> Iterator[tuple[str, str]]:
    for where, node in _nodes():
        if isinstance(node, ast.Call):
            helps = [keyword.value for keyword in node.keywords if keyword.arg == "help"]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("_HELP"):
            helps = [node.value]
        else:
            continue
        yield from ((where, text) for text in map(_text, helps) if text)


@cache
def _nodes() -> list[tuple[str, ast.Call | ast.Assign]]:
    """Calls and assignments of both packages, with their file and line."""
    paths = (path for package in ("trainer", "search") for path in sorted((ROOT / package).rglob("*.py")))
    return [
        (f"{path.relative_to(ROOT).as_posix()}:{node.lineno}", node)
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call | ast.Assign)
    ]


def _text(argument: ast.expr) -> str:
    """A text or f-string, fields as {}; of anything else nothing."""
    if isinstance(argument, ast.JoinedStr):
        return "".join(map(piece, argument.values))
    return argument.value if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else ""
