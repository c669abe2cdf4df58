"""Commands called in this process: the command line is built once for all of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from search.cli.app import build_app
from search.language.choice import ENGLISH, VARIABLE


@cache
def english_app() -> typer.Typer:
    """The whole command line, its help in English, whatever the caller's language."""
    with pytest.MonkeyPatch.context() as there:
        there.setenv(VARIABLE, ENGLISH)
        return build_app()


def call(*words: str | Path, stdin: str | None = None) -> Result:
    """Exit code and output of `cp-search` with these words."""
    return CliRunner().invoke(english_app(), [str(word) for word in words], input=stdin)
