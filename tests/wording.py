"""What the code says, read off its source: every string and f-string, fields as {}."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import typer
import yaml
from pydantic_core._pydantic_core import list_all_errors

from tests.conftest import ROOT


@cache
def wordings() -> frozenset[str]:
    """Every text of both packages, of typer, PyYAML and pydantic; help also as it is shown, by paragraphs."""
    return frozenset(_worded())


def _worded() -> Iterator[str]:
    for error in list_all_errors():
        yield re.sub(r"\{\w+\}", "{}", error["message_template_python"])
    theirs = (Path(str(library.__file__)).parent for library in (typer, yaml))
    for package in (ROOT / "trainer", ROOT / "search", *theirs):
        for path in sorted(package.rglob("*.py")):
            yield from _texts(path)
        for path in sorted((ROOT / package).rglob("*.yaml.j2")):
            yield from _comments(path)


def _comments(path: Path) -> Iterator[str]:
    """Of a template of YAML."""
    for comment in re.findall(r"^ *# +(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE):
        yield re.sub(r"\{\{.*?\}\}", "{}", comment)


def _texts(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield from _forms("".join(map(piece, node.values)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _forms(node.value)
            yield re.sub(r"\{\w+(?:!r)?\}|%[rsd]", "{}", node.value)  # what str.format and % fill


def piece(value: ast.expr) -> str:
    """A part of an f-string: its text, or {} for a field."""
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else "{}"


def _forms(text: str) -> Iterator[str]:
    yield text
    yield from (" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n"))
