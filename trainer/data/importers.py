"""Public data sets turned into the product's own rows."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainer.data.columns import BadCell, Columns, row_of
from trainer.data.identity import label_fields
from trainer.data.records import Record, Records, read_records
from trainer.data.rowfile import dropped_path, require_free, write_rows
from trainer.errors import DataError, UserError

Row = dict[str, Any]

#: COLD's file -> the product's name for the split.
_COLD_SPLITS = {"train": "train", "dev": "val", "test": "test"}
_COLD_CLASSES = {"0": 0, "1": 1}
_FINE_GRAINED = {str(number): number for number in range(4)}


#: Bad rows named in one message; the count says how many there are.
_NAMED = 20


@dataclass(frozen=True)
class ImportReport:
    """What came of an import: `read` is `written` and `dropped`. masked: field -> rows without a label.

    labels: field -> label -> rows. dropped_file: where bad rows lie with their reasons; None: there are none.
    """

    read: int
    written: int
    dropped: int
    masked: Mapping[str, int]
    labels: Mapping[str, Mapping[str, int]]
    out: str
    dropped_file: str | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return asdict(self)


def import_csv(
    source: Path, *, out: Path, columns: Columns, skip_bad: bool = False, overwrite: bool = False
) -> ImportReport:
    """Turn a CSV, TSV, JSON or JSON Lines table into the product's rows at `out`.

    `skip_bad` writes rows that cannot be read to a file beside `out`, with their reasons; else nothing is
    written. Raises `DataError` with file and line of each bad row, or for a column that is not there.
    """
    beside = dropped_path(out)
    require_free((out, beside), source=source, overwrite=overwrite)
    found = read_records(source)
    _require_columns(source, found=found, columns=columns)
    rows, bad = _sorted_out(found, columns)
    if bad and (not skip_bad or not rows):
        raise DataError(_bad_rows(source, bad=bad, rows=len(found.records)), file=source, line=bad[0][0].line)
    beside.unlink(missing_ok=True)
    if bad:
        write_rows(beside, ({"line": one.line, "reason": why, "row": one.cells} for one, why in bad))
    write_rows(out, rows)
    fields = label_fields(rows[0])
    return ImportReport(
        read=len(found.records),
        written=len(rows),
        dropped=len(bad),
        masked={field: sum(row[field] is None for row in rows) for field in fields},
        labels={field: _label_counts(rows, field) for field in fields},
        out=str(out),
        dropped_file=str(beside) if bad else None,
        notes=found.notes,
    )


def _require_columns(source: Path, *, found: Records, columns: Columns) -> None:
    missing = [name for name in columns.named if name not in found.columns]
    if missing:
        message = f"no column {', '.join(missing)}; columns here: {', '.join(found.columns)}"
        raise DataError(message, file=source, line=1)


def _sorted_out(found: Records, columns: Columns) -> tuple[list[Row], list[tuple[Record, str]]]:
    rows, bad = [], []
    for record in found.records:
        try:
            if record.problem:
                raise BadCell(record.problem)
            rows.append(row_of(record.cells, columns))
        except BadCell as error:
            bad.append((record, str(error)))
    return rows, bad


def _bad_rows(source: Path, *, bad: Sequence[tuple[Record, str]], rows: int) -> str:
    """One line for each of the first bad rows; the caller names the place of the first."""
    first, *others = [f"{source}:{record.line}: {why}" for record, why in bad[:_NAMED]]
    more = f"{len(bad)} of {rows} rows are bad; correct them, or leave them out with --skip-bad"
    return "\n".join((first.removeprefix(f"{source}:{bad[0][0].line}: "), *others, more))


def _label_counts(rows: Sequence[Row], field: str) -> dict[str, int]:
    return dict(sorted(Counter(str(row[field]) for row in rows if row[field] is not None).items()))


def import_cold(
    source: Path, *, out: Path, limit_train: int | None = None, seed: int = 42, overwrite: bool = False
) -> dict[str, int]:
    """Turn COLD's train.csv, dev.csv and test.csv into train, val and test.jsonl under `out`; rows of each.

    Rows are {"text", "labels", "topic"} and "fine_grained_label" where the file has it. `limit_train`
    keeps that many training rows, in the file's order, with its share of each label. Nothing is written
    unless every row is good, and nothing over other files unless `overwrite`: raises `DataError` with file
    and line.
    """
    paths = {name: out / f"{name}.jsonl" for name in _COLD_SPLITS.values()}
    require_free(paths.values(), source=source, overwrite=overwrite)
    splits = {ours: list(_cold_rows(source / f"{theirs}.csv")) for theirs, ours in _COLD_SPLITS.items()}
    if limit_train is not None:
        splits["train"] = _stratified(splits["train"], limit=limit_train, seed=seed)
    for name, rows in splits.items():
        write_rows(paths[name], rows)
    return {name: len(rows) for name, rows in splits.items()}


def _cold_rows(path: Path) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield from _parsed(path, csv.reader(stream, strict=True))
    except FileNotFoundError as error:
        message = "no such file; give the directory that holds COLD's train.csv, dev.csv and test.csv"
        raise DataError(message, file=path) from error
    except UnicodeDecodeError as error:
        raise DataError("not UTF-8; take COLD's file as published", file=path) from error


def _parsed(path: Path, reader: Any) -> Iterator[Row]:
    line, header = 1, None
    try:
        for cells in reader:
            if header is None:
                header = _checked_header(path, cells)
            else:
                yield _cold_row(path, line=line, header=header, cells=cells)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"not CSV ({error}); take COLD's file as published", file=path, line=line) from error
    if line <= 2:
        raise DataError("no rows; take COLD's file as published", file=path)


def _checked_header(path: Path, cells: list[str]) -> list[str]:
    missing = [name for name in ("topic", "label", "TEXT") if name not in cells]
    if missing:
        message = f"no column {', '.join(missing)}; columns here: {', '.join(cells)}; is this a file of COLD?"
        raise DataError(message, file=path, line=1)
    return cells


def _cold_row(path: Path, *, line: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        message = (
            f"{len(cells)} columns where the header has {len(header)}; correct the row's commas or quotes"
        )
        raise DataError(message, file=path, line=line)
    found = dict(zip(header, cells, strict=True))
    if not found["TEXT"].strip():
        raise DataError("TEXT is empty; write the text or remove the row", file=path, line=line)
    label = _number(path, line=line, found=found, column="label")
    row: Row = {"text": found["TEXT"], "labels": label, "topic": found["topic"]}
    if "fine-grained-label" in found:
        row["fine_grained_label"] = _number(path, line=line, found=found, column="fine-grained-label")
    return row


def _number(path: Path, *, line: int, found: dict[str, str], column: str) -> int:
    known = _COLD_CLASSES if column == "label" else _FINE_GRAINED
    if found[column] not in known:
        message = f"{column} {found[column]!r} is not one of {', '.join(known)}; correct the row"
        raise DataError(message, file=path, line=line)
    return known[found[column]]


def _stratified(rows: Sequence[Row], *, limit: int, seed: int) -> list[Row]:
    if not 1 <= limit <= len(rows):
        raise UserError(f"a limit of {limit} training rows: choose from 1 to {len(rows)}")
    order = np.random.default_rng(seed).permutation(len(rows))
    labels = np.array([row["labels"] for row in rows])[order]
    # Sorting by each row's place among those of its own label, as a share, interleaves the labels evenly.
    shares = np.empty(len(rows))
    for label in np.unique(labels):
        same = labels == label
        shares[same] = (np.arange(same.sum()) + 0.5) / same.sum()
    chosen = order[np.argsort(shares, kind="stable")[:limit]]
    return [rows[index] for index in sorted(chosen)]
