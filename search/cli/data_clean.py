"""`cp-search data clean`: a file without the rows that training could not use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from search.cli.flags import Command
from search.cli.output import print_json, say

if TYPE_CHECKING:
    from trainer import CleanReport


_WITHOUT_HELP = (
    "Leave out texts that this file holds, as those of train.jsonl from test.jsonl. May be repeated."
)

Script = Literal["traditional", "simplified"]


@dataclass(frozen=True)
class CleanFlags:
    """Arguments of `data clean`."""

    file: Annotated[Path, typer.Argument(help="Rows to clean.")]
    out: Annotated[Path, typer.Argument(help="File for the rows that are kept (JSON Lines).")]
    max_length: Annotated[int | None, typer.Option(min=1, help="Characters a text may have.")] = None
    to: Annotated[Script | None, typer.Option(help="Convert texts; needs the [zh] extra.")] = None
    without: Annotated[list[Path] | None, typer.Option(metavar="FILE", help=_WITHOUT_HELP)] = None
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def clean(flags: CleanFlags) -> None:
    """Leave out empty, over-long, repeated and contradictory rows.

    What is left out goes beside OUT, into NAME.dropped.jsonl, each row with its line and the reason.
    """
    from trainer import CleanRequest, clean_file

    request = CleanRequest(
        max_length=flags.max_length,
        to=flags.to,
        without=tuple(flags.without or ()),
        overwrite=flags.overwrite,
    )
    report = clean_file(flags.file, out=flags.out, request=request)
    if flags.json:
        print_json(report.to_json())
    else:
        say("\n".join(_lines(report)))


def _lines(report: CleanReport) -> list[str]:
    dropped = ", ".join(f"{reason} {count}" for reason, count in report.dropped.items())
    return [
        f"read: {report.read} rows",
        f"kept: {report.kept} rows in {report.out}",
        f"dropped: {report.read - report.kept} rows ({dropped}), in {report.dropped_file}",
        f"converted: {report.converted} texts",
    ]


COMMAND = Command(
    name="clean",
    flags=CleanFlags,
    body=clean,
    examples=(
        "cp-search data clean rows.jsonl clean.jsonl --max-length 500",
        "cp-search data clean rows.jsonl clean.jsonl --to traditional",
        "cp-search data clean test.jsonl clean-test.jsonl --without train.jsonl --without val.jsonl",
    ),
)
