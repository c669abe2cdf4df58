"""`cp-search run`: the whole job, from a search space to an exported model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.errors import ENDED_EARLY
from search.cli.flags import Command
from search.cli.output import clean_stdout, echo, print_json, print_report, say
from search.cli.resolved import on_card, resolved_json, space_lines
from search.cli.settings import SET_HELP, StorageFlag, read_settings
from search.cli.single_run import GPU_HELP, Limits, choose_gpu, gpu_number, train_config
from search.interruption import Interrupted

if TYPE_CHECKING:
    from search.report import StudyReport
    from search.run import RunOptions
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
    storage: StorageFlag = None
    name: Annotated[str | None, typer.Option(help="Name of the study, in place of the space's.")] = None
    single_run: Annotated[
        bool, typer.Option("--single-run", help="Train the base configuration once; no search.")
    ] = False
    no_finish: Annotated[bool, typer.Option("--no-finish", help="Search only: no retraining, no export.")] = (
        False
    )
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Let the CPU play the space's card, with its memory.")
    ] = False
    jobs: Annotated[
        str, typer.Option(metavar="N|auto", help="Trials at a time; with 1 the same command repeats itself.")
    ] = "auto"
    warm_start: Annotated[
        str | None, typer.Option(metavar="STUDY", help="Begin a new study with what fits of another one.")
    ] = None
    fork: Annotated[
        bool, typer.Option("--fork", help="The space changed: a new study, with what still fits of the old.")
    ] = False
    engine: Annotated[str, typer.Option(help="Where trials run: local, or ray for a Ray cluster.")] = "local"
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster, as in auto or HOST:6379; without it one is started here."),
    ] = None
    gpu: Annotated[int | None, typer.Option(parser=gpu_number, metavar="NUMBER", help=GPU_HELP)] = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be searched; start nothing.")
    ] = False
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def run(flags: RunFlags) -> None:
    """Search, retrain the best, export it.

    After Ctrl-C, a crash or a reboot the same command goes on where it stopped.
    """
    from search.space import load_space

    settings = read_settings(flags.set)
    space = load_space(flags.space, settings=settings)
    if flags.dry_run:
        _show(space, flags)
    elif flags.single_run:
        _train_base(space, flags)
    else:
        _search(space, flags, settings=settings)


def _train_base(space: Space, flags: RunFlags) -> None:
    from search.preflight import require_usable

    require_usable(space, say=lambda line: say(line, err=True))
    train_config(space.base_config().config, limits=_limits(space, flags), as_json=flags.json)


def _limits(space: Space, flags: RunFlags) -> Limits:
    """The space's card holds for its base configuration too."""
    from search.run import rehearsed

    card = rehearsed(space) if flags.rehearse else space.card
    if card is None:
        return Limits(gpu=flags.gpu)
    size = card.memory or card.name
    return Limits(gpu=flags.gpu, card=size, context=card.context, rehearse=card.virtual, kind=card.name)


def _search(space: Space, flags: RunFlags, *, settings: dict[str, Any]) -> None:
    choose_gpu(flags.gpu)
    options = _options(flags, settings)
    with clean_stdout(flags.json):
        from search.run import run_space

        report = run_space(space, options=options)
    end_with(report, as_json=flags.json)


def _options(flags: RunFlags, settings: dict[str, Any]) -> RunOptions:
    from search.run import RunOptions

    return RunOptions(
        studies_dir=flags.studies_dir,
        storage=flags.storage,
        name=flags.name,
        n_trials=flags.n_trials,
        time_s=_seconds(flags.time),
        finish=not flags.no_finish,
        rehearse=flags.rehearse,
        jobs=_jobs(flags.jobs),
        engine=flags.engine,
        warm_start=flags.warm_start,
        fork=flags.fork,
        address=flags.address,
        settings=settings,
    )


def end_with(report: StudyReport, *, as_json: bool) -> None:
    """Print how a study stands, and exit with what that means.

    Raises:
        Interrupted: Ctrl-C; how to go on was said when it came. typer.Exit: no model was made.
    """
    if as_json or not report.interrupted:
        print_report(report, as_json=as_json)
    if report.interrupted:
        raise Interrupted
    if report.best is None or (report.final is not None and report.final.model_dir is None):
        raise typer.Exit(ENDED_EARLY)


def _seconds(text: str | None) -> float | None:
    from search.space_file import seconds
    from trainer import UserError

    try:
        return None if text is None else seconds(text)
    except ValueError as error:
        raise UserError(f"--time: {error}") from error


def _jobs(text: str) -> int | None:
    from trainer import UserError

    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"--jobs {text}: write how many trials are to run at a time, or auto")
    return int(text)


def _show(space: Space, flags: RunFlags) -> None:
    base = on_card(space.base_config(), limits=_limits(space, flags))
    for note in base.notes:
        say(note, err=True)
    if flags.json:
        print_json({"name": space.name, **space.definition(), "base": resolved_json(base)})
    else:
        echo("\n".join(space_lines(space, base)))


COMMAND = Command(
    name="run",
    flags=RunFlags,
    body=run,
    examples=(
        "cp-search run spaces/quickstart.yaml",
        "cp-search run mine.yaml --n-trials 20 --set data.test_path=test.jsonl",
    ),
)
