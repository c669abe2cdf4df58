"""`cp-search run`: the whole job, from a search space to an exported model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.errors import Interrupted
from search.cli.flags import Command
from search.cli.output import clean_stdout, print_json, print_report
from search.cli.resolved import annotated_yaml
from search.cli.settings import SET_HELP, read_settings
from search.cli.single_run import Limits, choose_gpu, train_config

if TYPE_CHECKING:
    from search.run import StudyReport
    from search.space import Space


@dataclass(frozen=True)
class RunFlags:
    """Arguments of `run`."""

    space: Annotated[str, typer.Argument(help="Space file (YAML), or the name of a bundled one.")]
    set: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help=SET_HELP)] = field(default_factory=list)
    n_trials: Annotated[int | None, typer.Option(min=1, help="Finished trials the study is to have.")] = None
    time: Annotated[str | None, typer.Option(help="Time for the search, as in 90s, 30m or 2h.")] = None
    studies_dir: Annotated[Path, typer.Option(help="Where the study and its trials are kept.")] = Path(
        "studies"
    )
    storage: Annotated[str | None, typer.Option(help="Optuna storage URL, in place of SQLite there.")] = None
    name: Annotated[str | None, typer.Option(help="Name of the study, in place of the space's.")] = None
    single_run: Annotated[
        bool, typer.Option("--single-run", help="Train the base configuration once; no search.")
    ] = False
    no_finish: Annotated[bool, typer.Option("--no-finish", help="Search only: no retraining, no export.")] = (
        False
    )
    gpu: Annotated[int | None, typer.Option(min=0, help="Use only this GPU, by its number.")] = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be searched; start nothing.")
    ] = False
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def run(flags: RunFlags) -> None:
    """Search, retrain the best, export it.

    After Ctrl-C, a crash or a reboot the same command goes on where it stopped.
    """
    from search.space import load_space

    space = load_space(flags.space, settings=read_settings(flags.set))
    if flags.dry_run:
        _show(space, as_json=flags.json)
    elif flags.single_run:
        limits = Limits(gpu=flags.gpu)
        train_config(space.base_config().config, limits=limits, as_json=flags.json)
    else:
        _search(space, flags)


def _search(space: Space, flags: RunFlags) -> None:
    choose_gpu(flags.gpu)
    with clean_stdout(flags.json):
        report = _study(space, flags)
    if report.interrupted:
        raise Interrupted("The same command goes on where this one stopped.")
    print_report(report, as_json=flags.json)


def _study(space: Space, flags: RunFlags) -> StudyReport:
    from search.run import RunOptions, run_space

    options = RunOptions(
        studies_dir=flags.studies_dir,
        storage=flags.storage,
        name=flags.name,
        n_trials=flags.n_trials,
        time_s=seconds(flags.time),
        finish=not flags.no_finish,
    )
    return run_space(space, options=options)


def seconds(text: str | None) -> float | None:
    """`90s`, `30m`, `2h`, `1d` as seconds; None stays None."""


def _show(space: Space, *, as_json: bool) -> None:
    """The space as it would be searched: the base configuration, the dimensions, the budget."""
    if as_json:
        print_json(space.definition())
        return
    typer.echo(f"# {space.name}: base configuration")
    typer.echo(annotated_yaml(space.base_config()), nl=False)
    typer.echo("# searched")
    for key, dimension in space.search.items():
        typer.echo(f"{key}: {dimension}")


COMMAND = Command(
    name="run",
    flags=RunFlags,
    body=run,
    examples=(
        "cp-search run spaces/quickstart.yaml",
        "cp-search run spaces/rtx3050.yaml --set data.train_path=data/cold/train.jsonl --n-trials 20",
    ),
)
