"""`cp-search status`: where a study stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from search.cli.flags import Command
from search.cli.output import clean_stdout, echo, print_json
from search.cli.settings import StorageFlag


@dataclass(frozen=True)
class StatusFlags:
    """Arguments of `status`."""

    study: Annotated[str, typer.Argument(help="Name of a study, its .db file, or its storage URL.")]
    studies_dir: Annotated[Path, typer.Option(help="Directory of the studies.")] = Path("studies")
    storage: StorageFlag = None
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def status(flags: StatusFlags) -> None:
    """Show where a study stands.

    Trials by state, the best so far, what is running now, and the finished model.
    """
    with clean_stdout(flags.json):
        from search.status import look_at

        found = look_at(flags.study, flags.studies_dir, flags.storage)
    if flags.json:
        print_json(found.to_json())
    else:
        echo("\n".join(found.lines()))


COMMAND = Command(
    name="status", flags=StatusFlags, body=status, examples=("cp-search status quickstart --json",)
)
