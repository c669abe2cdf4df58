"""One training run in this process, watched on the terminal: `train`, and `run --single-run`."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from search.cli.errors import ENDED_EARLY, Interrupted
from search.cli.output import clean_stdout, print_json

if TYPE_CHECKING:
    from trainer import Config, Outcome


@dataclass(frozen=True)
class Limits:
    """What a run may use: one GPU by its number; the memory of a card; the CPU in that card's place."""

    gpu: int | None = None
    card: str | None = None
    rehearse: bool = False


def choose_gpu(gpu: int | None) -> None:
    """Show torch, which reads this once when it is imported, only the GPU with this number."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu)


def train_config(config: Config, *, limits: Limits, as_json: bool) -> None:
    """Run `config` and print what came of it.

    Raises:
        Interrupted: Ctrl-C; the run is saved, and the message says how to go on.
    """
    choose_gpu(limits.gpu)
    with clean_stdout(as_json):
        outcome = _run(config, limits=limits)
    if outcome.status == "interrupted":
        raise Interrupted(f"Interrupted. Go on with: {continuation(outcome)}")
    if as_json:
        print_json(asdict(outcome))
    else:
        typer.echo("\n".join(summary(outcome)))
    if outcome.status != "completed":
        raise typer.Exit(ENDED_EARLY)


def _run(config: Config, *, limits: Limits) -> Outcome:
    from search.cli.observer import watch
    from trainer import parse_card, run

    card = parse_card(limits.card, virtual=limits.rehearse) if limits.card else None
    with watch() as observer:
        return run(config, card=card, observer=observer)


def continuation(outcome: Outcome) -> str:
    """The command that goes on with an interrupted run."""
    directory = Path(outcome.directory)
    words = ["cp-search", "train", "--config", str(directory / "config.yaml")]
    words += ["--resume-from-checkpoint", str(directory / "checkpoints" / "last")]
    return shlex.join(words)


def summary(outcome: Outcome) -> list[str]:
    """The closing lines for a person: how it ended, how good it is, where it lies."""
    best = outcome.best_metrics.get("eval_f1_macro")
    value = "no evaluation was made" if best is None else f"eval_f1_macro {best:.4f}"
    lines = [f"{outcome.status}: {value}, {outcome.steps} steps in {outcome.seconds:.0f} s"]
    if outcome.error:
        lines.append(f"error: {outcome.error}")
    lines.append(f"directory: {outcome.directory}")
    return lines + [f"{name}: {Path(outcome.directory) / path}" for name, path in outcome.paths.items()]
