"""One training run in this process, watched on the terminal: `train`, and `run --single-run`."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from search.cli.errors import ENDED_EARLY, USER_ERROR
from search.cli.output import clean_stdout, print_json, say
from search.interruption import Interrupted
from search.language import translated

if TYPE_CHECKING:
    from trainer import CardSpec, Config, Outcome


GPU_HELP = "Use only this GPU, by its number."


@dataclass(frozen=True)
class Limits:
    """What a run may use: one GPU; the memory of a card, and what CUDA takes of it; the CPU in its place.

    A card that is not here, and that the CPU does not play, is planned for and limits nothing. kind: the
    name of the card whose size `card` is, where a space gives both.
    """

    gpu: int | None = None
    card: str | None = None
    context: str | None = None
    rehearse: bool = False
    kind: str | None = None

    def spec(self) -> CardSpec | None:
        """The card that was named.

        Raises:
            UserError: there is no such card.
        """
        from trainer import sized_card

        if not self.card:
            return None
        return sized_card(self.kind or self.card, self.card, virtual=self.rehearse, context=self.context)


def gpu_number(text: str) -> int:
    """What was typed after --gpu. Raises typer.BadParameter: not the number of a GPU."""
    if not re.fullmatch(r"\d{1,9}", text):
        message = (
            f"{text!r} is not the number of a GPU, as in --gpu 0; without it the GPU that is here is used"
        )
        raise typer.BadParameter(translated(message))
    return int(text)


def choose_gpu(gpu: int | None) -> None:
    """Show torch, which reads this once when it is imported, only the GPU with this number."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu)


def train_config(config: Config, *, limits: Limits, as_json: bool) -> None:
    """Run `config` and print what came of it.

    Raises:
        Interrupted: Ctrl-C; the run is saved, and the message says how to go on. UserError: it does not
            fit the card by plan. typer.Exit: it did not complete.
    """
    choose_gpu(limits.gpu)
    for name in config.callbacks.custom:
        say(f"callbacks.custom: {name} is imported and run", err=True)
    with clean_stdout(as_json):
        outcome = _run(config, limits=limits)
    if outcome.status == "interrupted":
        raise Interrupted(f"Interrupted. Go on with: {continuation(outcome)}")
    if as_json:
        print_json(asdict(outcome))
    else:
        say("\n".join(summary(outcome)))
    if outcome.status != "completed":
        raise typer.Exit(USER_ERROR if outcome.status == "oom" else ENDED_EARLY)


def _run(config: Config, *, limits: Limits) -> Outcome:
    from search.cli.observer import watch
    from trainer import present_card, run

    card = limits.spec()
    if card is not None and not card.virtual and present_card() is None:
        say(_planned(config, card), err=True)
    with watch() as observer:
        return run(config, card=card, observer=observer)


def _planned(config: Config, card: CardSpec) -> str:
    """One line on how `config` would lie on a card that is not here.

    Raises:
        UserError: it would not.
    """
    from trainer import UserError, plan_rooms, show_size

    (room,) = plan_rooms([config], card=card)
    if room.verdict == "no":
        raise UserError(
            f"{card.name} is too small: even with every measure this run {room.shortfall}; "
            "use shorter texts, a smaller model, or a larger card"
        )
    how = f" with {'; '.join(room.measures)}" if room.measures else ""
    fits = f"{show_size(room.needed_bytes)} of {show_size(room.limit_bytes)}{how}"
    return (
        f"No CUDA device here: {card.name} is planned for only ({fits}); training on the CPU, without a limit"
    )


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
