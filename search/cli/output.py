"""What a command prints on stdout: one JSON document, or lines for a person."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import typer

from search.cli.code_page import holds_all_text
from search.language import translated


@contextmanager
def clean_stdout(wanted: bool) -> Iterator[None]:
    """Send everything written to stdout meanwhile to stderr, when a JSON document is to follow.

    Works on the file descriptor, so that it holds for libraries and for child processes too.
    """
    if not wanted:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print `text` on stdout, or on stderr; `nl`: and end the line.

    The stream is named: of itself click takes one that says ascii for a mistake and writes UTF-8 past it.
    """
    typer.echo(text, file=sys.stderr if err else sys.stdout, nl=nl)


def print_json(value: Any) -> None:
    """Print `value` as the one JSON document of this command; NaN and infinity are refused.

    On a code page that is not UTF-8 in JSON's own escapes, so that it stays whole.
    """
    escaped = not holds_all_text(sys.stdout)
    echo(json.dumps(value, ensure_ascii=escaped, indent=2, allow_nan=False))


def agreed(question: str) -> bool:
    """Ask until it is answered with yes or no; nothing is no.

    Raises:
        typer.Abort: Ctrl-C, or the end of the input.
    """
    while True:
        answer = typer.prompt(f"{translated(question)} [y/N]", default="", show_default=False, err=True)
        if answer.strip().lower() in ("y", "yes"):
            return True
        if answer.strip().lower() in ("", "n", "no"):
            return False
        say("Please answer y or n.", err=True)


class Shown(Protocol):
    """What a command found, in its two forms."""

    def to_json(self) -> dict[str, Any]:
        """The one JSON document."""

    def lines(self) -> list[str]:
        """Lines for a person."""


def say(message: str, *, err: bool = False) -> None:
    """Print a message to a person, in their language, on stdout or stderr."""
    echo(translated(message), err=err)


def print_report(report: Shown, *, as_json: bool) -> None:
    """Print `report` on stdout in the form that was asked for."""
    if as_json:
        print_json(report.to_json())
    else:
        echo(translated("\n".join(report.lines())))
