"""`cp-search tensorboard`: the training curves of a study's trials."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from search.cli.flags import Command
from search.cli.output import say


@dataclass(frozen=True)
class TensorboardFlags:
    """Arguments of `tensorboard`."""

    study: Annotated[str, typer.Argument(help="Name of a study, or its .db file.")]
    trial: Annotated[int | None, typer.Option(min=0, help="Only this trial, by its number.")] = None
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 0
    studies_dir: Annotated[Path, typer.Option(help="Directory of the studies.")] = Path("studies")


def tensorboard(flags: TensorboardFlags) -> None:
    """Open TensorBoard on a study's trials.

    It answers on 127.0.0.1 only and prints its address. Ctrl-C ends it.
    """
    from search.tensorboard import find_runs, serve, start_process

    runs = find_runs(flags.study, studies_dir=flags.studies_dir, trial=flags.trial)
    code = serve(runs, port=flags.port, say=partial(say, err=True), start=start_process)
    if code:
        raise typer.Exit(code)


COMMAND = Command(
    name="tensorboard",
    flags=TensorboardFlags,
    body=tensorboard,
    examples=("cp-search tensorboard quickstart --trial 3",),
)
