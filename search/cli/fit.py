"""`cp-search fit`: what fits a card, before anything is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from search.cli.flags import Command
from search.cli.output import clean_stdout, print_json, say
from search.cli.settings import SET_HELP, read_settings

if TYPE_CHECKING:
    from trainer import FitOptions, Resolved

_SOFTWARE_HELP = (
    "Memory habits of other software, to compare with its figures: old-softmax, zeroed-gradients, …"
)
_OPTIMIZER_HELP = "AdamW (what training here uses), Adafactor, or one of its kinds, as in adamw_foreach."


@dataclass(frozen=True)
class FitFlags:
    """Flags of `fit`; one that is not given leaves the configuration as it is."""

    config: Annotated[Path | None, typer.Option(help="Configuration file (YAML).")] = None
    template: Annotated[str | None, typer.Option(help="Template under the file and the flags.")] = None
    model: Annotated[str | None, typer.Option(help="Hub id, or a directory; its config.json is enough.")] = (
        None
    )
    card: Annotated[str | None, typer.Option(help="4GiB, rtx3050, t4, …; without it the GPU here.")] = None
    fp16: Annotated[bool | None, typer.Option("--fp16/--no-fp16", help="Half or full precision.")] = None
    bf16: Annotated[bool, typer.Option("--bf16", help="bfloat16 in place of fp16.")] = False
    optimizer: Annotated[str | None, typer.Option(help=_OPTIMIZER_HELP)] = None
    attention: Annotated[str | None, typer.Option(help="sdpa or eager.")] = None
    checkpointing: Annotated[
        str | None, typer.Option(help="on, off, selective, or auto: the first that fits.")
    ] = None
    seq: Annotated[str | None, typer.Option(help="Sequence lengths, as in 128,256.")] = None
    batch: Annotated[str | None, typer.Option(help="Micro-batches, as in 1,2,4,8.")] = None
    steps_accumulated: Annotated[
        int | None,
        typer.Option(help="Micro-batches per optimizer step; without it from the effective batch."),
    ] = None
    software: Annotated[str | None, typer.Option(help=_SOFTWARE_HELP)] = None
    context: Annotated[str | None, typer.Option(help="What CUDA itself takes, as in 500MiB.")] = None
    set: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help=SET_HELP)] = field(default_factory=list)
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout: a list of rows.")] = False


def fit(flags: FitFlags) -> None:
    """Show what fits a card: planned peak memory by sequence length and micro-batch.

    Needs no GPU, no data and no weights. Planned once, a configuration is remembered.
    """
    resolved = _resolve(flags)
    options = _options(flags)
    for note in resolved.notes:
        say(note, err=True)
    with clean_stdout(flags.json):
        from trainer import plan_fit, planned_card

        card = planned_card(flags.card, context=flags.context)
        with _progress() as progress:
            table = plan_fit(resolved, card=card, options=options, progress=progress)
    if flags.json:
        print_json(table.to_json())
        return
    from search.cli.fit_view import show_fit

    show_fit(table, resolved)


def _resolve(flags: FitFlags) -> Resolved:
    from trainer import load_config

    overrides = read_settings(flags.set, flags={"model.name": flags.model})
    return load_config(template=flags.template, file=flags.config, overrides=overrides)


def _options(flags: FitFlags) -> FitOptions:
    from trainer import FitOptions, UserError

    if flags.bf16 and flags.fp16 is not None:
        raise UserError("--bf16 and --fp16/--no-fp16 exclude each other; give one of them")
    return FitOptions(
        precision=_precision(flags),
        optimizer=flags.optimizer,
        attention=flags.attention,
        checkpointing=flags.checkpointing,
        lengths=_numbers("--seq", flags.seq),
        batches=_numbers("--batch", flags.batch),
        steps_accumulated=flags.steps_accumulated,
        software=tuple(flags.software.split(",")) if flags.software else (),
    )


def _precision(flags: FitFlags) -> Literal["fp16", "bf16", "fp32"] | None:
    if flags.bf16:
        return "bf16"
    if flags.fp16 is None:
        return None
    return "fp16" if flags.fp16 else "fp32"


def _numbers(flag: str, text: str | None) -> tuple[int, ...] | None:
    from trainer import UserError

    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"{flag} {text}: write whole numbers with commas between, as in 128,256") from error


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Says on stderr what is being planned: in one line that changes, or in a file line by line."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda line: say(line, err=True)
        return
    with console.status("Planning") as status:
        yield status.update


COMMAND = Command(
    name="fit",
    flags=FitFlags,
    body=fit,
    examples=(
        "cp-search fit --config configs/rtx3050_optimized.yaml --card 4GiB",
        "cp-search fit --model hfl/chinese-macbert-large --card t4 --seq 256,512 --batch 4,8 --json",
    ),
)
