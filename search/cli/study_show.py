"""`cp-search study show`: every trial of a study."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from search.cli.flags import Command
from search.cli.output import clean_stdout, echo, print_json
from search.cli.settings import StorageFlag


@dataclass(frozen=True)
class StudyShowFlags:
    """Arguments of `study show`."""

    study: Annotated[str, typer.Argument(help="Name of a study, or its .db file.")]
    studies_dir: Annotated[Path, typer.Option(help="Directory of the studies.")] = Path("studies")
    storage: StorageFlag = None
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def study_show(flags: StudyShowFlags) -> None:
    """Show every trial of a study: values tried, state, and why."""
    with clean_stdout(flags.json):
        from search.catalog import Catalog
        from search.engine.child import finite
        from search.status import status_of
        from search.trial_table import lines, row

        entry = Catalog(flags.studies_dir, flags.storage).find(flags.study)
        status = status_of(entry.sight())
        trials = entry.study.get_trials(deepcopy=False)
    if flags.json:
        print_json({**status.to_json(), "all": finite([row(trial) for trial in trials])})
    else:
        width = shutil.get_terminal_size((120, 24)).columns
        echo("\n".join([*status.lines(), "", *lines(trials, width=width)]))


COMMAND = Command(
    name="show", flags=StudyShowFlags, body=study_show, examples=("cp-search study show quickstart",)
)
