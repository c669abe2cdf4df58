"""`cp-search data split`: one file cut into train, val and test, or into folds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.flags import Command
from search.cli.output import print_json, say

if TYPE_CHECKING:
    from trainer import SplitReport

_GROUP_HELP = "Field whose values stay on one side, as in --group user."


@dataclass(frozen=True)
class SplitFlags:
    """Arguments of `data split`."""

    file: Annotated[Path, typer.Argument(help="Rows to split.")]
    out: Annotated[Path, typer.Argument(help="Directory for train.jsonl, val.jsonl and test.jsonl.")]
    val: Annotated[float | None, typer.Option(help="Share of the rows; 0.1 if not given.")] = None
    test: Annotated[float, typer.Option(help="Share of the rows; 0: none.")] = 0.1
    group: Annotated[str | None, typer.Option(metavar="KEY", help=_GROUP_HELP)] = None
    folds: Annotated[int | None, typer.Option(help="Folds of what --test leaves, in place of --val.")] = None
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same split.")] = 42
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def split(flags: SplitFlags) -> None:
    """Split a file so that every part has its share of every class of every task.

    Rows with the same text, or in the same group, stay on one side. With --folds: fold-1/train.jsonl,
    fold-1/val.jsonl and so on, and one test.jsonl for all.
    """
    from trainer import SplitRequest, split_file

    request = SplitRequest(
        val=flags.val,
        test=flags.test,
        group=flags.group,
        folds=flags.folds,
        seed=flags.seed,
        overwrite=flags.overwrite,
    )
    report = split_file(flags.file, out=flags.out, request=request)
    if flags.json:
        print_json(report.to_json())
    else:
        say("\n".join(_lines(report)))


def _lines(report: SplitReport) -> Iterator[str]:
    yield f"{report.rows} rows, {report.blocks} blocks of rows that stay together"
    for part in report.parts:
        groups = "" if part.groups is None else f", {part.groups} groups"
        yield f"{part.name}: {part.rows} rows (wanted {part.wanted_rows:.0f}){groups}"
        for field, counts in part.labels.items():
            total = sum(counts.values())
            shares = ", ".join(f"{value} {count} ({count / total:.1%})" for value, count in counts.items())
            yield f"  {field}: {shares or 'none'}"
    for field, shift in report.shift.items():
        yield f"{field}: shares differ from the file's by at most {shift:.2%}"
    for part_name, field, value in report.missing:
        yield f"warning: {part_name} has no row with {field} {value}"
    yield f"files: {', '.join(report.files)}"


COMMAND = Command(
    name="split",
    flags=SplitFlags,
    body=split,
    examples=(
        "cp-search data split rows.jsonl data/mine --val 0.1 --test 0.1 --seed 7",
        "cp-search data split rows.jsonl data/folds --folds 5 --group user",
    ),
)
