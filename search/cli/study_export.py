"""`cp-search study export`: all trials as CSV, or the whole study as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from search.cli.flags import Command
from search.cli.output import print_json, say
from search.cli.settings import StorageFlag


@dataclass(frozen=True)
class StudyExportFlags:
    """Arguments of `study export`."""

    study: Annotated[str, typer.Argument(help="Name of a study, or its .db file.")]
    to: Annotated[Path, typer.Option(help="File to write: .csv for a table, .json to import it again.")]
    studies_dir: Annotated[Path, typer.Option(help="Directory of the studies.")] = Path("studies")
    storage: StorageFlag = None
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def study_export(flags: StudyExportFlags) -> None:
    """Write all trials of a study to a file.

    The CSV has a column for every parameter, evaluation, constraint and attribute. The JSON holds all
    that the storage knows; cp-search study import reads it back. Models and checkpoints stay where they are.
    """
    import json

    from search.catalog import Catalog
    from search.study_document import to_document
    from search.trial_table import to_csv
    from trainer import UserError, write_text

    kind = flags.to.suffix.lower()
    if kind not in (".csv", ".json"):
        raise UserError(f"{flags.to}: end the name in .csv or .json")
    if flags.to.exists():
        raise UserError(f"{flags.to} exists already; name a new file with --to")
    if not flags.to.absolute().parent.is_dir():
        raise UserError(f"there is no directory {flags.to.parent}; make it first")
    study = Catalog(flags.studies_dir, flags.storage).find(flags.study).study
    trials = study.get_trials(deepcopy=False)
    if kind == ".csv":
        # With a BOM: Excel takes the file for another encoding without it.
        write_text(flags.to, "\ufeff" + to_csv(trials))
    else:
        write_text(
            flags.to, json.dumps(to_document(study), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
        )
    if flags.json:
        print_json({"file": str(flags.to), "trials": len(trials)})
    else:
        say(f"{flags.to}: {len(trials)} trials of study {study.study_name}")


COMMAND = Command(
    name="export",
    flags=StudyExportFlags,
    body=study_export,
    examples=(
        "cp-search study export quickstart --to trials.csv",
        "cp-search study export quickstart --to quickstart.json",
    ),
)
