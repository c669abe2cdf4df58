"""`cp-search data`: make and import data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from search.cli.flags import Command
from search.cli.output import print_json, say


@dataclass(frozen=True)
class SampleFlags:
    """Arguments of `data sample`."""

    out: Annotated[Path, typer.Argument(help="Directory for train.jsonl, val.jsonl and test.jsonl.")]
    rows: Annotated[int, typer.Option(min=1, help="Rows over the three files.")] = 3000
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same rows.")] = 7
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


@dataclass(frozen=True)
class ImportColdFlags:
    """Arguments of `data import cold`."""

    source: Annotated[Path, typer.Argument(metavar="DIR", help="Directory with COLD's CSV files.")]
    out: Annotated[Path, typer.Argument(help="Directory for train.jsonl, val.jsonl and test.jsonl.")]
    limit_train: Annotated[int | None, typer.Option(min=1, help="Keep this many training rows.")] = None
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def sample(flags: SampleFlags) -> None:
    """Write a synthetic sample.

    All four tasks, generated: good for trying the commands, not for judging models.
    """
    from trainer import write_sample

    written = write_sample(flags.out, rows=flags.rows, seed=flags.seed)
    files = {name: str(path) for name, path in written.items()}
    if flags.json:
        print_json({"directory": str(flags.out), "files": files})
    else:
        say("\n".join(_lines(files)))


def import_cold(flags: ImportColdFlags) -> None:
    """Turn COLD's three CSV files into JSON Lines."""
    import trainer

    counts = trainer.import_cold(
        flags.source, out=flags.out, limit_train=flags.limit_train, overwrite=flags.overwrite
    )
    if flags.json:
        files = {name: str(flags.out / f"{name}.jsonl") for name in counts}
        print_json({"directory": str(flags.out), "files": files, "rows": counts})
    else:
        say("\n".join([*_lines(counts), f"directory: {flags.out}"]))


def _lines(found: Mapping[str, Any]) -> list[str]:
    return [f"{name}: {value}" for name, value in found.items()]


SAMPLE = Command(
    name="sample",
    flags=SampleFlags,
    body=sample,
    examples=("cp-search data sample data/sample --rows 3000 --seed 7",),
)
IMPORT_COLD = Command(
    name="cold",
    flags=ImportColdFlags,
    body=import_cold,
    examples=("cp-search data import cold ~/COLDataset data/cold --limit-train 4000",),
)
