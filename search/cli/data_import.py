"""`cp-search data import csv`: anyone's table turned into the product's rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.flags import Command
from search.cli.output import print_json, say

if TYPE_CHECKING:
    from trainer import ImportReport

_LABEL_HELP = "Column of a task's labels, as in toxicity=tox; labels=COL for the only task. May be repeated."
_MAP_HELP = "What a value of the column means, as in toxicity:offensive=toxic. May be repeated."
_SKIP_HELP = "Leave bad rows out, into a file beside OUT."


@dataclass(frozen=True)
class ImportCsvFlags:
    """Arguments of `data import csv`."""

    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSON or JSON Lines; UTF-8 or GB18030.")]
    out: Annotated[Path, typer.Option(help="File for the rows (JSON Lines).")]
    text: Annotated[str, typer.Option(metavar="COL", help="Column of the texts.")]
    label: Annotated[list[str], typer.Option(metavar="TASK=COL", help=_LABEL_HELP)]
    map: Annotated[list[str], typer.Option(metavar="TASK:FROM=TO", help=_MAP_HELP)] = field(
        default_factory=list
    )
    group: Annotated[str | None, typer.Option(metavar="COL", help="Column to keep as `group`.")] = None
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help=_SKIP_HELP)] = False
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def import_csv(flags: ImportCsvFlags) -> None:
    """Turn a table into rows to train on.

    An empty cell is a missing label, which is masked. Where a task has a --map, all its values must be
    mapped. A bad row stops the import, unless --skip-bad leaves it out.
    """
    import trainer

    columns = trainer.parse_columns(flags.text, labels=flags.label, values=flags.map, group=flags.group)
    report = trainer.import_csv(
        flags.file, out=flags.out, columns=columns, skip_bad=flags.skip_bad, overwrite=flags.overwrite
    )
    if flags.json:
        print_json(report.to_json())
    else:
        say("\n".join(_lines(report)))


def _lines(report: ImportReport) -> Iterator[str]:
    yield from report.notes
    yield f"read: {report.read} rows"
    yield f"written: {report.written} rows to {report.out}"
    where = f", in {report.dropped_file}" if report.dropped_file else ""
    yield f"dropped: {report.dropped} rows{where}"
    for name, counts in report.labels.items():
        shown = ", ".join(f"{label} {count}" for label, count in counts.items())
        yield f"{name}: {shown or 'none'}; without a label {report.masked[name]}"


COMMAND = Command(
    name="csv",
    flags=ImportCsvFlags,
    body=import_csv,
    examples=(
        "cp-search data import csv posts.csv --out rows.jsonl --text content --label labels=is_bullying",
        "cp-search data import csv posts.tsv --out rows.jsonl --text t --label toxicity=tox "
        "--map toxicity:no=none --map toxicity:yes=toxic --group user",
    ),
)
