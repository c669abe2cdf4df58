"""A command's flags as one frozen dataclass, in place of a function with twenty parameters.

A field is a flag: its annotation is `Annotated[type, typer.Option(...)]`, its default the flag's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, Field, dataclass, fields
from typing import Annotated, Any, get_args, get_type_hints

import typer

from search.cli.errors import exit_codes
from search.cli.spoken import SpokenCommand
from search.language import explained


@dataclass(frozen=True)
class Command:
    """One command: `body(flags)` is called with an instance of the dataclass `flags`.

    The docstring of `body` is the help text; `examples` are command lines shown under it.
    """

    name: str
    flags: type[Any]
    body: Callable[[Any], None]
    examples: tuple[str, ...]


def add_command(app: typer.Typer, command: Command) -> None:
    """Put `command` on `app`, its errors turned into exit codes."""
    # Typer joins single newlines of an epilog; an empty line keeps the examples on lines of their own.
    epilog = "\n\n".join(("Example:", *(f"  {example}" for example in command.examples)))
    text = explained(inspect.getdoc(command.body) or "")
    app.command(command.name, cls=SpokenCommand, help=text, epilog=epilog)(_callback(command))


def _callback(command: Command) -> Callable[..., None]:
    """A function whose signature, which typer reads, has one keyword for each flag."""

    def call(**values: Any) -> None:
        with exit_codes():
            command.body(command.flags(**values))

    hints = get_type_hints(command.flags, include_extras=True)
    hints = {name: _explained(hint) for name, hint in hints.items()}
    parameters = [_parameter(flag, hints[flag.name]) for flag in fields(command.flags)]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by inspect
    call.__annotations__ = hints
    return call


def _explained(hint: Any) -> Any:
    """`Annotated[type, option]` with the option's help in the user's language."""
    kind, *about = get_args(hint)
    told = [copy(each) for each in about]
    for option in told:
        option.help = explained(option.help or "")
    return Annotated[(kind, *told)]


def _parameter(flag: Field[Any], hint: Any) -> inspect.Parameter:
    default = flag.default
    if flag.default_factory is not MISSING:
        default = flag.default_factory()
    if default is MISSING:
        default = inspect.Parameter.empty
    return inspect.Parameter(flag.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
