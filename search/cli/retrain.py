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
    trial: Annotated[
        int | None, typer.Option(min=0, help="Retrain this trial, in place of the best confirmed one.")
    ] = None
    template: Annotated[
        str | None, typer.Option(help="Finishing template, in place of the space's (production).")
    ] = None
    studies_dir: Annotated[Path, typer.Option(help="Directory of the studies.")] = Path("studies")
    storage: StorageFlag = None
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def retrain(flags: RetrainFlags) -> None:
    """Make the final model of a study again.

    Retrains the best confirmed trial (or --trial) with the finishing template of its space, fits the
    decision rule on validation rows, evaluates once on test, and exports the model. What is done already
    for the same trial and template is not done again.
    """
    with clean_stdout(flags.json):
        from search.run import RetrainOptions, retrain_study

        options = RetrainOptions(
            flags.studies_dir, trial=flags.trial, template=flags.template, storage=flags.storage
        )
        report = retrain_study(flags.study, options=options)
    end_with(report, as_json=flags.json)


COMMAND = Command(
    name="retrain",
    flags=RetrainFlags,
    body=retrain,
    examples=("cp-search retrain quickstart", "cp-search retrain quickstart --trial 3 --template default"),
)
