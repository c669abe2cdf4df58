"""Tables that others made, CSV, TSV, JSON array or JSON Lines, as records: one dict for each row."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.data.content import Content, find_content
from trainer.data.read import read_values
from trainer.errors import DataError

#: The first of those that the header holds most of; with none at all the table has one column.
_DELIMITERS = (",", "\t", ";")
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
    content = find_content(path)
    found = _json_records(content) if _is_json(content) else _csv_records(content)
    if not found.records:
        raise DataError("no rows below the header; give a table with rows", file=path)
    return found


def _is_json(content: Content) -> bool:
    suffix = content.path.suffix.lower()
    return suffix in _JSON or (suffix not in _CSV and content.first_character() in {"[", "{"})


def _json_records(content: Content) -> Records:
    records = tuple(
        Record(line, value) if isinstance(value, dict) else Record(line, {}, "a row must be a JSON object")
        for line, value in read_values(content)
    )
    columns = tuple(dict.fromkeys(name for record in records for name in record.cells))
    return Records(records, columns, content.notes)


def _csv_records(content: Content) -> Records:
    lines = _csv_lines(content)
    _, header = next(lines, (1, []))
    header = [name.strip() for name in header]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"two columns are called {', '.join(twice)}; rename one", file=content.path, line=1)
    records = tuple(_record(line, header=header, cells=cells) for line, cells in lines if cells)
    return Records(records, tuple(header), content.notes)


def _csv_lines(content: Content) -> Iterator[tuple[int, list[str]]]:
    """(line, cells); a quoted cell may hold line breaks, so a row's line is where it starts."""
    header = next(content.lines(), "")
    delimiter = max(_DELIMITERS, key=header.count)
    reader, line = csv.reader(content.lines(), delimiter=delimiter, strict=True), 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        message = f"not CSV ({error}); correct the row's quotes"
        raise DataError(message, file=content.path, line=line) from error


def _record(line: int, *, header: list[str], cells: list[str]) -> Record:
    if len(cells) == len(header):
        return Record(line, dict(zip(header, cells, strict=True)))
    problem = f"{len(cells)} columns where the header has {len(header)}; correct the row's commas or quotes"
    return Record(line, dict(zip(header, cells, strict=False)), problem)
