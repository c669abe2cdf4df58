"""Files written whole or not at all: temporary file beside, flush, fsync, `os.replace`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Call `write(temporary)` and move the result to `path`; after a crash `path` is old or new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # on a disk that cannot be written, the error to be told is the first
            temporary.unlink(missing_ok=True)
        raise


def flush(directory: Path) -> None:
    """Have the files of `directory` on the disk, so that what is written later never outlives them."""
    for path in directory.iterdir():
        if path.is_file():
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with LF line ends, whole."""
    write_whole(path, lambda temporary: _write_plain(temporary, text))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, whole; NaN and infinity are refused (ValueError)."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def _write_plain(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
