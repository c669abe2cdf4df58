"""A data file without the rows that training could not use, and beside it those rows with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from trainer.data.identity import contradict, identity, label_fields, same_texts
from trainer.data.read import Table, read_table
from trainer.data.rowfile import dropped_path, require_free, write_rows
from trainer.data.scan import Scan, scan
from trainer.errors import DataError, UserError

Script = Literal["traditional", "simplified"]
Reason = Literal["empty", "too_long", "elsewhere", "duplicate", "contradiction"]
REASONS: tuple[Reason, ...] = ("empty", "too_long", "elsewhere", "duplicate", "contradiction")

#: OpenCC's conversions character by character, without regional vocabulary.
_CONVERSIONS = MappingProxyType({"traditional": "s2t", "simplified": "t2s"})


@dataclass(frozen=True)
class CleanRequest:
    """What to clean.

    max_length: characters a text may have. to: script that texts are converted to. without: files whose texts
    are left out, as those of train.jsonl from test.jsonl.
    """

    max_length: int | None = None
    to: Script | None = None
    without: tuple[Path, ...] = ()
    overwrite: bool = False


@dataclass(frozen=True)
class Dropped:
    """A row left out, as it stands in the file; `of`: line of the row it repeats or contradicts."""

    line: int
    reason: Reason
    row: Any
    of: int | None = None


@dataclass(frozen=True)
class CleanReport:
    """What came of a cleaning: `read` is `kept` and all of `dropped`; `converted` kept texts changed."""

    read: int
    kept: int
    dropped: Mapping[str, int]
    converted: int
    out: str
    dropped_file: str

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return asdict(self)


def clean_file(source: Path, *, out: Path, request: CleanRequest) -> CleanReport:
    """Write the good rows of `source` to `out`, and the others, with their reasons, beside it.

    Dropped are empty texts, texts over `max_length`, texts that `without` holds, and texts that occur again.
    Of rows with the same text
    (see `identity`) whose labels agree, the first of those with most labels is kept; where labels
    contradict each other none is, for nothing says which is right.

    Raises:
        DataError: a row that is no row. UserError: a conversion without OpenCC, a length below 1.
    """
    if request.max_length is not None and request.max_length < 1:
        raise UserError(f"--max-length {request.max_length}: give the characters a text may have, 1 or more")
    beside = dropped_path(out)
    require_free((out, beside), source=source, overwrite=request.overwrite)
    scanned = scan(source)
    _require_rows(scanned)
    texts = _converted(scanned.table.texts, to=request.to)
    dropped = _dropped(scanned, texts=texts, request=request)
    gone = {found.line for found in dropped}
    kept = [row for row, line in enumerate(scanned.table.lines) if line not in gone]
    if not kept:
        raise DataError("no row would be left; nothing was written", file=source)
    # The rows left out first: should the second write fail, nothing is lost unseen.
    write_rows(beside, (asdict(found) for found in dropped))
    write_rows(out, ({**scanned.table.rows[row], "text": texts[row]} for row in kept))
    counts = Counter(found.reason for found in dropped)
    return CleanReport(
        read=scanned.rows,
        kept=len(kept),
        dropped={reason: counts[reason] for reason in REASONS},
        converted=sum(texts[row] != scanned.table.texts[row] for row in kept),
        out=str(out),
        dropped_file=str(beside),
    )


def _require_rows(scanned: Scan) -> None:
    for fault in scanned.faults:
        if fault.kind != "empty_text":
            raise DataError(fault.message, file=scanned.table.path, line=fault.line)


def _converted(texts: Sequence[str], *, to: Script | None) -> list[str]:
    if to is None:
        return list(texts)
    try:
        opencc = import_module("opencc")
    except ModuleNotFoundError as error:
        raise UserError(f"--to {to} needs OpenCC: pip install 'cp-search[zh]'") from error
    convert = opencc.OpenCC(_CONVERSIONS[to]).convert
    return [convert(text) for text in texts]


def _texts_of(files: Sequence[Path], *, to: Script | None) -> frozenset[str]:
    """What the texts of `files` are told by."""
    return frozenset(identity(text) for path in files for text in _converted(read_table(path).texts, to=to))


def _dropped(scanned: Scan, *, texts: Sequence[str], request: CleanRequest) -> list[Dropped]:
    """Every row to leave out, in order of lines."""
    table, limit = scanned.table, request.max_length
    elsewhere = _texts_of(request.without, to=request.to)
    found = [Dropped(fault.line, "empty", fault.value) for fault in scanned.faults]
    usable = []
    for row, text in enumerate(texts):
        if limit is not None and len(text) > limit:
            found.append(Dropped(table.lines[row], "too_long", table.rows[row]))
        elif identity(text) in elsewhere:
            found.append(Dropped(table.lines[row], "elsewhere", table.rows[row]))
        else:
            usable.append(row)
    fields = label_fields(table.fields)
    for positions in same_texts(identity(texts[row]) for row in usable):
        found += _repeated(table, rows=[usable[position] for position in positions], fields=fields)
    return sorted(found, key=lambda dropped: dropped.line)


def _repeated(table: Table, *, rows: Sequence[int], fields: Sequence[str]) -> Iterator[Dropped]:
    """What to leave out of rows with the same text."""
    if contradict([table.rows[row] for row in rows], fields=fields):
        for row in rows:
            other = rows[1] if row == rows[0] else rows[0]
            yield Dropped(table.lines[row], "contradiction", table.rows[row], table.lines[other])
        return
    kept = max(rows, key=lambda row: sum(table.rows[row].get(field) is not None for field in fields))
    for row in rows:
        if row != kept:
            yield Dropped(table.lines[row], "duplicate", table.rows[row], table.lines[kept])
