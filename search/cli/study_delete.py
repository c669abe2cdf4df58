"""`cp-search study delete`: away with a study, if that is meant."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import Abort

from search.cli.flags import Command
from search.cli.output import agreed, print_json, say
from search.cli.settings import StorageFlag


@dataclass(frozen=True)
class StudyDeleteFlags:
    """Arguments of `study delete`."""

    study: Annotated[str, typer.Argument(help="Name of a study, or its .db file.")]
    studies_dir: Annotated[Path, typer.Option(help="Directory of the studies.")] = Path("studies")
    storage: StorageFlag = None
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def study_delete(flags: StudyDeleteFlags) -> None:
    """Delete a study, its trials' directories and its model.

    Says what would go and asks; nothing can be had back.
    """
    from search.catalog import Catalog
    from search.study_files import delete, delete_rest, require_idle, what_goes
    from trainer import UserError

    catalog = Catalog(flags.studies_dir, flags.storage)
    try:
        entry = catalog.find(flags.study, whole=False)
    except UserError:
        if not delete_rest(flags.study, catalog=catalog):
            raise
        _deleted(flags, [f"what a deletion that was cut off left of {flags.study}"])
        return
    require_idle(entry)
    goes = what_goes(entry)
    for line in goes:
        say(f"to be deleted: {line}", err=True)
    if not flags.yes:
        if not sys.stdin.isatty():
            raise UserError("nobody here to ask; add --yes to delete it")
        if not agreed("Delete it for good?"):
            raise Abort
    delete(entry)
    _deleted(flags, goes)


def _deleted(flags: StudyDeleteFlags, goes: list[str]) -> None:
    if flags.json:
        print_json({"deleted": goes})
    else:
        say(f"Deleted study {flags.study}.")


COMMAND = Command(
    name="delete",
    flags=StudyDeleteFlags,
    body=study_delete,
    examples=("cp-search study delete quickstart",),
)
