"""What a user may be told has a template: errors where they are raised, lines, help of options."""

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
#: of these modules pydantic takes the ValueErrors, and they reach the user
VALIDATORS = ("trainer/config/schema.py:", "search/space_file.py:")
#: names that hold a message until it is raised
PENDING = {"message"}
#: too little of these is fixed to know them by: a place and another message, which is looked up by itself;
#: two splits and the scripts of their texts
VAGUE = {"{}: {}", "{}: {} is {}, {} is {}"}

#: lines of names that are the same in every language: metrics, keys; what follows is said by itself
MEASURES = {
    "Trial {} | {}; {}{}",
    "optimization.memory_efficient_attention {}",
    "eval_loss {} | eval_f1_macro {}",
    "Epoch {} | train_loss {} | eval_loss {} | eval_f1_macro {} | eval_accuracy {}",
}


@pytest.mark.parametrize("language", OTHERS)
def test_every_error_worded_where_it_is_raised_has_a_template(language: str) -> None:
    known = _known(language) | VAGUE
    assert [f"{where}: {text}" for where, text in _raised() if text not in known] == []


@pytest.mark.parametrize("language", OTHERS)
def test_every_line_worded_where_it_is_said_has_a_template(language: str) -> None:
    known = _known(language) | MEASURES
    assert [f"{where}: {text}" for where, text in _said() if text not in known] == []


def test_words_are_said_and_only_data_is_echoed() -> None:
    assert [f"{where}: {text}" for where, text in _texts_of({"echo"}) if text != "cp-search {}"] == []


@pytest.mark.parametrize("language", OTHERS)
def test_every_option_s_help_has_a_template(language: str) -> None:
    known = _known(language)
    assert [f"{where}: {text}" for where, text in _helps() if text not in known] == []


def test_the_code_is_really_read() -> None:
    assert len(list(_raised())) > 150
    assert len(list(_said())) > 25
    assert len(list(_helps())) > 100


def _known(language: str) -> set[str]:
    return {FIELD.sub("{}", english) for english in messages(language)}


def _raised() -> Iterator[tuple[str, str]]:
    for where, node in _nodes():
        raised = ERRORS | {"ValueError"} if where.startswith(VALIDATORS) else ERRORS
        if isinstance(node, ast.Call) and ast.unparse(node.func).partition(".")[0] in raised:
            texts = map(_text, node.args)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in PENDING:
            texts = map(_text, [node.value])
        else:
            continue
        yield from ((where, text) for text in texts if " " in text)


def _said() -> Iterator[tuple[str, str]]:
    return ((where, text) for where, text in _texts_of({"say", "warn"}) if " " in text)


def _texts_of(names: set[str]) -> Iterator[tuple[str, str]]:
    """What is worded in a call of a function or method of these names."""
    for where, node in _nodes():
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2].lstrip("_") in names:
            yield from ((where, text) for text in map(_text, node.args) if text)


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
