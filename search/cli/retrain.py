"""`cp-search retrain`: the final model of a study again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from search.cli.flags import Command
from search.cli.output import clean_stdout
from search.cli.run import end_with
from search.cli.settings import StorageFlag


@dataclass(frozen=True)
class RetrainFlags:
    """Arguments of `retrain`."""

    study: Annotated[str, typer.Argument(help="Name of a finished study.")]
    studies_dir: Annotated[Path, typer.Option(help="Directory of the studies.")] = Path("studies")
    storage: StorageFlag = None
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def retrain(flags: RetrainFlags) -> None:
    """Make the final model of a study again.

    Retrains the best trial with the finishing template of its space, tests and exports it.
    """
    with clean_stdout(flags.json):
        from search.run import retrain_study

        report = retrain_study(flags.study, studies_dir=flags.studies_dir, storage=flags.storage)
    end_with(report, as_json=flags.json)


COMMAND = Command(
    name="retrain", flags=RetrainFlags, body=retrain, examples=("cp-search retrain quickstart",)
)
