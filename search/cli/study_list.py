"""`cp-search study list`: the studies there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from search.cli.flags import Command
from search.cli.output import clean_stdout, echo, print_json, say
from search.cli.settings import StorageFlag


@dataclass(frozen=True)
class StudyListFlags:
    """Options of `study list`."""

    studies_dir: Annotated[Path, typer.Option(help="Directory of the studies.")] = Path("studies")
    storage: StorageFlag = None
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def study_list(flags: StudyListFlags) -> None:
    """List the studies, with their trials by state and the best value.

    A file that cannot be read does not hide the others.
    """
    with clean_stdout(flags.json):
        from search.status import look_at_all

        found, wrong = look_at_all(flags.studies_dir, flags.storage)
    if flags.json:
        print_json([status.to_json() for status in found])
    elif not found and not wrong:
        say(f"no studies in {flags.studies_dir}; cp-search run SPACE makes one")
    elif found:
        echo("\n".join(status.line() for status in found))
    if wrong:
        for error in wrong[1:]:
            say(str(error))
        raise wrong[0]


COMMAND = Command(
    name="list", flags=StudyListFlags, body=study_list, examples=("cp-search study list --json",)
)
