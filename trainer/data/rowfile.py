"""Data files written: JSON Lines, whole, and never over something else unasked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trainer.errors import DataError
from trainer.files import write_whole


def require_free(paths: Iterable[Path], *, source: Path, overwrite: bool) -> None:
    """Check, before anything is written, that `paths` may be: they are new, or `overwrite` allows it.

    Raises:
        DataError: one exists, or is the file that is read, or lies where nothing can be.
    """
    for path in paths:
        if path.resolve() == source.resolve():
            raise DataError("is the file that is read; choose another name for the result", file=path)
        if path.is_dir():
            raise DataError("is a directory; name a file", file=path)
        if path.exists() and not overwrite:
            raise DataError("exists; choose another name, or add --overwrite", file=path)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `rows` as JSON Lines, whole; the directory is made. Raises `DataError` where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda temporary: _write(temporary, rows))
    except OSError as error:
        message = f"cannot be written ({error.strerror}); choose another place"
        raise DataError(message, file=path) from error


def dropped_path(out: Path) -> Path:
    """Where the rows that did not get into `out` go: beside it, as NAME.dropped.jsonl."""
    return out.with_name(f"{out.stem}.dropped.jsonl")


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
