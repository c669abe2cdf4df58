"""`cp-search data check`: what is wrong or odd in data files, before anything is trained on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.flags import Command
from search.cli.output import clean_stdout, print_json
from search.cli.settings import SET_HELP, read_settings

if TYPE_CHECKING:
    from trainer import CheckRequest, Config

#: Exit code for data that should not be trained on as it is.
NOT_SOUND = 1

_LENGTH_HELP = "Tokens kept of a text, with --model or --config; without them, characters a text may have."


@dataclass(frozen=True)
class CheckFlags:
    """Arguments of `data check`."""

    files: Annotated[list[Path] | None, typer.Argument(help="Files whose use does not matter.")] = None
    train: Annotated[Path | None, typer.Option(help="Training rows.")] = None
    val: Annotated[Path | None, typer.Option(help="Validation rows.")] = None
    test: Annotated[Path | None, typer.Option(help="Test rows.")] = None
    config: Annotated[
        Path | None,
        typer.Option(help="Configuration: its tasks, model, length, and files if none are given."),
    ] = None
    model: Annotated[str | None, typer.Option(help="Hub id or directory whose tokenizer to try.")] = None
    max_length: Annotated[int | None, typer.Option(min=1, help=_LENGTH_HELP)] = None
    set: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help=SET_HELP)] = field(default_factory=list)
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def check(flags: CheckFlags) -> None:
    """Report what is wrong or odd in data files.

    Looks for rows that cannot be trained on, repeated and contradictory texts, texts that two splits share,
    classes without rows, and splits that are not alike. Exit code 1: something would make training fail or
    its scores mislead.
    """
    request = _request(flags)
    with clean_stdout(flags.json):
        from trainer import check_data

        report = check_data(request)
    if flags.json:
        print_json(report.to_json())
    else:
        from search.cli.data_check_view import show_report

        show_report(report)
    if not report.ok:
        raise typer.Exit(NOT_SOUND)


def _request(flags: CheckFlags) -> CheckRequest:
    from trainer import CheckRequest, load_config

    with_tokenizer = flags.model is not None or flags.config is not None
    named: dict[str, Any] = {"model.name": flags.model}
    if with_tokenizer:
        named["model.max_sequence_length"] = flags.max_length
    config = load_config(file=flags.config, overrides=read_settings(flags.set, flags=named)).config
    return CheckRequest(
        files=_files(flags, config),
        config=config,
        with_tokenizer=with_tokenizer,
        max_characters=None if with_tokenizer else flags.max_length,
    )


def _files(flags: CheckFlags, config: Config) -> dict[str, Path]:
    """Split or path -> file: those given, or else those the configuration names."""
    given = {"train": flags.train, "val": flags.val, "test": flags.test}
    found = {split: path for split, path in given.items() if path is not None}
    found |= {str(path): path for path in flags.files or []}
    if found or flags.config is None:
        return found
    return {split: Path(path) for split in given if (path := getattr(config.data, f"{split}_path"))}


COMMAND = Command(
    name="check",
    flags=CheckFlags,
    body=check,
    examples=(
        "cp-search data check --train train.jsonl --val val.jsonl --test test.jsonl",
        "cp-search data check rows.jsonl --model hfl/chinese-macbert-base --max-length 128 --json",
    ),
)
