"""What typer says of itself (headings of a help, a wrong command line), in the user's language.

Typer words these in its own code; they are translated where they leave it, as all messages are.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import Abort, TyperException

from search.cli.errors import INTERRUPTED
from search.cli.output import say
from search.language import explained, translated

if TYPE_CHECKING:
    from typer._click.formatting import HelpFormatter
    from typer.core import TyperCommand as _Base
else:  # mixed in, it has typer's methods from the class beside it
    _Base = object
    HelpFormatter = typer.Context.formatter_class

#: headings and standing texts of a help, as typer has them
WORDS = (
    *("Usage: ", "Arguments:", "Options:", "Commands:", "Example:"),
    *("[OPTIONS]", "COMMAND [ARGS]..."),
)
#: kinds of values, as typer names them between angle brackets
KINDS = ("<str>", "<int>", "<float>", "<path>", "<int range>", "<float range>")
_KIND = re.compile("|".join(KINDS))
_WORD = re.compile("|".join(map(re.escape, WORDS)))
#: what typer adds to the help of an option: [env var: X; default: studies; required]
_ADDED = re.compile(r"(?P<help>(?:.*  )?)\[(?P<added>.*)\]", re.DOTALL)


class _Formatter(HelpFormatter):
    """Lays out a help."""

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Options, each with its help."""
        spoken = [(_KIND.sub(_of_kind, name), _with_added(text)) for name, text in rows]
        super().write_dl(spoken, col_max, col_spacing)


class _Context(typer.Context):
    """Of a command that is called."""

    formatter_class = _Formatter


class _Spoken(_Base):
    """Of a command or a group of them: help and usage are in the user's language."""

    context_class = _Context

    def get_params(self, ctx: Any) -> list[Any]:
        """Arguments and options, typer's own among them."""
        return _explained(super().get_params(ctx))

    def get_help(self, ctx: Any) -> str:
        """The help as a text."""
        return _spoken(super().get_help(ctx))

    def get_usage(self, ctx: Any) -> str:
        """The line that a wrong call is answered with."""
        return _spoken(super().get_usage(ctx))


class SpokenCommand(_Spoken, TyperCommand):
    """A command."""


class SpokenGroup(_Spoken, TyperGroup):
    """A group of commands."""


def refused(error: TyperException | Abort) -> int:
    """Say on stderr what typer has against a command line, or that a question was not agreed to; its code."""
    if isinstance(error, Abort):
        say("Aborted!", err=True)
        return INTERRUPTED
    text = io.StringIO()
    error.show(file=text)  # type: ignore[attr-defined]  # all that typer raises for a command line have it
    say(text.getvalue().rstrip("\n"), err=True)
    return error.exit_code


def _explained(parameters: list[Any]) -> list[Any]:
    for one in parameters:
        one.help = explained(one.help or "") or None
    return parameters


def _of_kind(found: re.Match[str]) -> str:
    return translated(found[0])


def _with_added(text: str) -> str:
    """A help with what typer added to it in the user's language."""
    found = _ADDED.fullmatch(text)
    if found is None:
        return text
    return f"{found['help']}[{'; '.join(map(translated, found['added'].split('; ')))}]"


def _spoken(text: str) -> str:
    return _WORD.sub(lambda found: translated(found[0]), text)
