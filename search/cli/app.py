"""The typer application: every command under its name."""

from __future__ import annotations

from typing import Annotated

import typer

from search.cli import (
    dashboard,
    data,
    data_check,
    data_clean,
    data_import,
    data_split,
    doctor,
    export,
    fit,
    init,
    predict,
    report,
    retrain,
    run,
    status,
    storage_serve,
    study_delete,
    study_export,
    study_import,
    study_list,
    study_rename,
    study_show,
    tensorboard,
    train,
)
from search.cli.flags import add_command
from search.cli.output import echo
from search.cli.spoken import SpokenGroup
from search.language import explained


def build_app() -> typer.Typer:
    """The whole command line, ready to be called."""
    app = _group(
        "Find the best hyperparameters for a Chinese text classifier on a small GPU.", completion=True
    )
    app.callback()(_top)
    for module in (
        run,
        train,
        fit,
        predict,
        status,
        report,
        dashboard,
        tensorboard,
        retrain,
        export,
        init,
        doctor,
    ):
        add_command(app, module.COMMAND)
    app.add_typer(_data_app(), name="data")
    app.add_typer(_study_app(), name="study")
    app.add_typer(_storage_app(), name="storage")
    return app


def _data_app() -> typer.Typer:
    app = _group("Get a data set into shape.")
    add_command(app, data.SAMPLE)
    for module in (data_check, data_clean, data_split):
        add_command(app, module.COMMAND)
    imports = _group("Read a table, or a public data set.")
    imports.callback()(_imports)
    add_command(imports, data.IMPORT_COLD)
    add_command(imports, data_import.COMMAND)
    app.add_typer(imports, name="import")
    return app


def _study_app() -> typer.Typer:
    app = _group("Look after studies.")
    for module in (study_list, study_show, study_rename, study_delete, study_export, study_import):
        add_command(app, module.COMMAND)
    return app


def _storage_app() -> typer.Typer:
    app = _group("Where studies are kept.")
    # With one command only, typer would take the group for the command.
    app.callback()(_storage)
    add_command(app, storage_serve.COMMAND)
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
