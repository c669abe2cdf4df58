"""The typer application: every command under its name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from search.cli.flags import Command, add_command
from search.cli.output import echo
from search.cli.spoken import SpokenGroup
from search.language import explained

#: in the order of the help; each is `COMMAND` of the module of that name
COMMANDS = (
    "run",
    "train",
    "fit",
    "predict",
    "status",
    "report",
    "dashboard",
    "tensorboard",
    "retrain",
    "export",
    "init",
    "doctor",
)
GROUPS = ("data", "study", "storage")
#: of `study`; `COMMAND` of `study_list` and so on
STUDY_COMMANDS = ("list", "show", "rename", "delete", "export", "import")


def build_app(words: Sequence[str] = ()) -> typer.Typer:
    """The command line, ready to be called.

    words: of the call. Where they begin with a command, that one is all there is: to lay out the flags of
    all the others takes a quarter of the time of a glance at a study.
    """
    app = _group(
        "Find the best hyperparameters for a Chinese text classifier on a small GPU.", completion=True
    )
    app.callback()(_top)
    for name in _called(words, (*COMMANDS, *GROUPS)):
        if name == "data":
            app.add_typer(_data_app(), name=name)
        elif name == "study":
            app.add_typer(_study_app(words[1:]), name=name)
        elif name == "storage":
            app.add_typer(_storage_app(), name=name)
        else:
            add_command(app, _command(name))
    return app


def _called(words: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    """The one of `names` that a call begins with; all of them where it begins with none, as with --help."""
    return words[:1] if words and words[0] in names else names


def _command(module: str) -> Command:
    command: Command = import_module(f"search.cli.{module}").COMMAND
    return command


def _data_app() -> typer.Typer:
    from search.cli.data import IMPORT_COLD, SAMPLE

    app = _group("Get a data set into shape.")
    add_command(app, SAMPLE)
    for name in ("check", "clean", "split"):
        add_command(app, _command(f"data_{name}"))
    imports = _group("Read a table, or a public data set.")
    imports.callback()(_imports)
    add_command(imports, IMPORT_COLD)
    add_command(imports, _command("data_import"))
    app.add_typer(imports, name="import")
    return app


def _study_app(words: Sequence[str]) -> typer.Typer:
    app = _group("Look after studies.")
    for name in _called(words, STUDY_COMMANDS):
        add_command(app, _command(f"study_{name}"))
    return app


def _storage_app() -> typer.Typer:
    app = _group("Where studies are kept.")
    # With one command only, typer would take the group for the command.
    app.callback()(_storage)
    add_command(app, _command("storage_serve"))
    return app


def _group(text: str, *, completion: bool = False) -> typer.Typer:
    """A group of commands.

    Plain help, since boxes cut long flags short; Python's own tracebacks, since they are for us.
    """
    return typer.Typer(
        cls=SpokenGroup,
        help=explained(text),
        no_args_is_help=True,
        add_completion=completion,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _top(
    *,
    _lang: Annotated[
        str | None,
        typer.Option("--lang", help="Language of messages: en or zh-TW. Without it the locale decides."),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit."),
    ] = False,
) -> None:
    """Find the best hyperparameters for a Chinese text classifier on a small GPU."""
    # --lang was taken out before: the help of every command is made in the language (search.language.choice).


def _print_version(wanted: bool) -> None:
    if wanted:
        # Slow to import, and wanted nowhere else.
        from importlib.metadata import version

        echo(f"cp-search {version('cp-search')}")
        raise typer.Exit


def _imports() -> None:
    """Read a table, or a public data set."""


def _storage() -> None:
    """Where studies are kept."""
