"""`cp-search train`: one training run, no search."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.flags import Command
from search.cli.output import echo, print_json, say
from search.cli.resolved import annotated_yaml, on_card, resolved_json
from search.cli.settings import SET_HELP, read_settings
from search.cli.single_run import GPU_HELP, Limits, gpu_number, train_config

if TYPE_CHECKING:
    from trainer import Resolved

#: flag -> the configuration key it sets
_KEY_OF = {
    "experiment_name": "experiment.name",
    "model_name": "model.name",
    "batch_size": "training.batch_size",
    "learning_rate": "training.learning_rate",
    "num_epochs": "training.num_epochs",
    "fp16": "training.fp16",
    "bf16": "training.bf16",
    "resume_from_checkpoint": "experiment.resume_from_checkpoint",
    "num_workers": "data.num_workers",
    "warmup_ratio": "training.warmup_ratio",
    "seed": "experiment.seed",
    "output_dir": "experiment.output_dir",
}


@dataclass(frozen=True)
class TrainFlags:
    """Flags of `train`; one that is not given leaves the configuration as it is."""

    config: Annotated[Path | None, typer.Option(help="Configuration file (YAML).")] = None
    template: Annotated[str | None, typer.Option(help="Template under the file and the flags.")] = None
    experiment_name: Annotated[str | None, typer.Option(help="Name of the run.")] = None
    model_name: Annotated[str | None, typer.Option(help="Hub id, local directory, or builtin:tiny.")] = None
    batch_size: Annotated[int | None, typer.Option(help="Largest micro-batch.")] = None
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None
    num_epochs: Annotated[int | None, typer.Option(help="Passes over the training rows.")] = None
    gpu: Annotated[int | None, typer.Option(parser=gpu_number, metavar="NUMBER", help=GPU_HELP)] = None
    fp16: Annotated[
        bool | None,
        typer.Option("--fp16/--no-fp16", help="Mixed precision: fp16 on a GPU, bfloat16 on a CPU with AMX."),
    ] = None
    bf16: Annotated[bool | None, typer.Option("--bf16/--no-bf16", help="bfloat16 in place of fp16.")] = None
    resume_from_checkpoint: Annotated[
        str | None, typer.Option(help="Checkpoint directory to go on from.")
    ] = None
    num_workers: Annotated[int | None, typer.Option(help="Accepted, and not used.")] = None
    warmup_ratio: Annotated[float | None, typer.Option(help="Share of the steps spent warming up.")] = None
    seed: Annotated[int | None, typer.Option(help="Seed of weights, order and dropout.")] = None
    output_dir: Annotated[str | None, typer.Option(help="Parent of the experiment directory.")] = None
    set: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help=SET_HELP)] = field(default_factory=list)
    card: Annotated[str | None, typer.Option(help="Memory to stay within: 4GiB, or rtx3050.")] = None
    context: Annotated[str | None, typer.Option(help="What CUDA takes of --card, as in 500MiB.")] = None
    rehearse: Annotated[bool, typer.Option("--rehearse", help="Let the CPU play the --card.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the configuration; start nothing.")] = (
        False
    )
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def train(flags: TrainFlags) -> None:
    """Train once, without a search.

    Leaves an experiment directory with the configuration, checkpoints, metrics and the model.

    What is set later wins: template, then --config file, then flags.
    """
    resolved = _resolve(flags)
    limits = Limits(gpu=flags.gpu, card=flags.card, context=flags.context, rehearse=flags.rehearse)
    if flags.dry_run:
        resolved = on_card(resolved, limits=limits)
    for note in resolved.notes:
        say(note, err=True)
    if flags.dry_run:
        _show(resolved, as_json=flags.json)
        return
    train_config(resolved.config, limits=limits, as_json=flags.json)


def _resolve(flags: TrainFlags) -> Resolved:
    from trainer import UserError, load_config

    if flags.rehearse and flags.card is None:
        raise UserError("--rehearse: which card should the CPU play? Name it, as in --card 4GiB")
    if flags.context is not None and flags.card is None:
        raise UserError(
            "--context: of which card? Name it, as in --card 4GiB; a GPU that is here is measured"
        )
    named = {key: getattr(flags, flag) for flag, key in _KEY_OF.items()}
    overrides = read_settings(flags.set, flags=named)
    return load_config(template=flags.template, file=flags.config, overrides=overrides)


def _show(resolved: Resolved, *, as_json: bool) -> None:
    if as_json:
        print_json(resolved_json(resolved))
    else:
        echo(annotated_yaml(resolved), nl=False)


COMMAND = Command(
    name="train",
    flags=TrainFlags,
    body=train,
    examples=(
        "cp-search train --template default --set data.train_path=train.jsonl --set data.val_path=val.jsonl",
        "cp-search train --template fast_dev --model-name builtin:tiny --dry-run",
    ),
)
