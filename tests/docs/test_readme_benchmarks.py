"""README's commands for measuring again are whole: each is one that its script takes."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import shlex
import sys
from typing import Any

import pytest

from tests.conftest import ROOT

MEASURE = re.compile(r"`python -m benchmarks\.(\w+)([^`]*)`")
FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
READMES = ("README.md", "README.zh-TW.md")


class Taken(Exception):
    """A parser took its arguments: what comes after would be the measurement."""


def commands(document: str) -> list[tuple[str, ...]]:
    """The words of each command after `python -m benchmarks.`."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return list(dict.fromkeys((name, *shlex.split(rest)) for name, rest in MEASURE.findall(text)))


@pytest.mark.parametrize("words", commands("README.md"), ids=" ".join)
def test_a_script_takes_what_readme_gives_it(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    name, *given = words
    package = (ROOT / "benchmarks" / name).is_dir()
    main = importlib.import_module(f"benchmarks.{name}" + (".__main__" if package else "")).main
    if inspect.signature(main).parameters:  # memory: names of parts, and no parser
        source = inspect.getsource(main)
        assert all(f'"{part}"' in source for part in given)
        return
    parse = argparse.ArgumentParser.parse_args

    def only_parse(parser: argparse.ArgumentParser, *arguments: Any) -> None:
        parse(parser, *arguments)
        raise Taken

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
    monkeypatch.setattr(sys, "argv", [name, *given])
    with pytest.raises(Taken):
        main()


def test_both_readmes_measure_with_the_same_commands() -> None:
    english, chinese = (set(commands(document)) for document in READMES)
    assert english == {words[:-2] if words[-2:] == ("--lang", "zh-TW") else words for words in chinese}


def figures(document: str) -> list[list[str]]:
    """The numbers in each row of the last table, sorted: languages order their words differently."""
    text = (ROOT / document).read_text(encoding="utf-8")
    _, table = text.rsplit("|---|---|---|\n", maxsplit=1)
    return [sorted(FIGURE.findall(row)) for row in table.split("\n\n")[0].splitlines()]


def test_both_readmes_give_the_same_figures() -> None:
    english, chinese = map(figures, READMES)
    assert len(english) > 10
    assert english == chinese
