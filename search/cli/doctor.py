"""`cp-search doctor`: why it does not work here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from search.cli.errors import USER_ERROR
from search.cli.flags import Command
from search.cli.output import clean_stdout, print_report


@dataclass(frozen=True)
class DoctorFlags:
    """Options of `doctor`."""

    studies_dir: Annotated[Path, typer.Option(help="Directory of the studies.")] = Path("studies")
    storage: Annotated[str | None, typer.Option(help="A storage URL to try as well.")] = None
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def doctor(flags: DoctorFlags) -> None:
    """Say what is wrong here, and what to do.

    Looks at versions, card, driver, memory, disk, databases and model hub, and changes nothing. Exit 2 when
    there is something to mend.
    """
    with clean_stdout(flags.json):
        from search.doctor.examine import examine

        diagnosis = examine(flags.studies_dir, storage=flags.storage)
    print_report(diagnosis, as_json=flags.json)
    if diagnosis.faults:
        raise typer.Exit(USER_ERROR)


COMMAND = Command(
    name="doctor", flags=DoctorFlags, body=doctor, examples=("cp-search doctor --studies-dir studies",)
)
