"""Tables that others made, CSV, TSV, JSON array or JSON Lines, as records: one dict for each row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.data.read import Content, parse_values, read_content
from trainer.errors import DataError

_JSON, _CSV = {".json", ".jsonl", ".ndjson"}, {".csv", ".tsv", ".txt"}


@dataclass(frozen=True)
class Record:
    """One row; `line` counts from 1. problem: why the row could not be told into columns; None: it could."""

    line: int
    cells: dict[str, Any]
    problem: str | None = None


@dataclass(frozen=True)
class Records:
    """All rows of a file and the columns found in it, in order."""

    records: tuple[Record, ...]
    columns: tuple[str, ...]
    notes: tuple[str, ...]


def read_records(path: Path) -> Records:
    """Read a table in UTF-8, with or without BOM, or GB18030; the kind is told by suffix, else by content.

    Raises `DataError` for a file that is not what it seems, or has no rows.
    """
    content = read_content(path)
    found = _json_records(path, content) if _is_json(path, content.text) else _csv_records(path, content)
    if not found.records:
        raise DataError("no rows below the header; give a table with rows", file=path)
    return found


def _is_json(path: Path, text: str) -> bool:
    suffix = path.suffix.lower()
    return suffix in _JSON or (suffix not in _CSV and text.lstrip()[:1] in {"[", "{"})


def _json_records(path: Path, content: Content) -> Records:
    records = tuple(
        Record(line, value) if isinstance(value, dict) else Record(line, {}, "a row must be a JSON object")
        for line, value in parse_values(path, content.text)
    )
    columns = tuple(dict.fromkeys(name for record in records for name in record.cells))
    return Records(records, columns, content.notes)


def _csv_records(path: Path, content: Content) -> Records:
    lines = _csv_lines(path, content.text)
    _, header = next(lines, (1, []))
    header = [name.strip() for name in header]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"two columns are called {', '.join(twice)}; rename one", file=path, line=1)
    records = tuple(_record(line, header=header, cells=cells) for line, cells in lines if cells)
    return Records(records, tuple(header), content.notes)


def _csv_lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells); a quoted cell may hold line breaks, so a row's line is where it starts."""
    first = text.split("\n", 1)[0]
    delimiter = "\t" if first.count("\t") > first.count(",") else ","
    reader, line = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"not CSV ({error}); correct the row's quotes", file=path, line=line) from error


def _record(line: int, *, header: list[str], cells: list[str]) -> Record:
    if len(cells) == len(header):
        return Record(line, dict(zip(header, cells, strict=True)))
    problem = f"{len(cells)} columns where the header has {len(header)}; correct the row's commas or quotes"
    return Record(line, dict(zip(header, cells, strict=False)), problem)
