"""Files written whole or not at all: temporary file beside, flush, fsync, `os.replace`.

What a process leaves that dies in the middle is hidden, and ends in .tmp. Whoever writes the same file next
removes it, and `sweep` all that lies in a directory.
"""

from __future__ import annotations

import glob
import json
import os
import platform
import shutil
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

#: what is being written, or removed, as a whole
_LEFT = ".*.tmp"


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Call `write(temporary)` and move the result to `path`; after a crash `path` is old or new."""
    _forget_the_dead(path)
    temporary = path.with_name(f"{_prefix(path)}{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # on a disk that cannot be written, the error to be told is the first
            temporary.unlink(missing_ok=True)
        raise


def sweep(directory: Path, *, below: bool = False) -> None:
    """Remove what processes that died were still writing, or removing, in `directory`; `below`: at any depth.

    For whoever has the directory to itself: what lives must not be writing there.
    """
    for left in list(directory.rglob(_LEFT) if below else directory.glob(_LEFT)):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


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


def _prefix(path: Path) -> str:
    """What the temporary files begin with that `path` is written by from here; their process's id follows.

    Here is where that id says who: containers of a machine may have its name, and ids of their own.
    """
    return f".{path.name}.{zlib.crc32((platform.node() + _namespace()).encode()):08x}."


def _namespace() -> str:
    """Of process ids; only Linux has several."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _forget_the_dead(path: Path) -> None:
    """Remove what processes from here left of `path` that died while they wrote it."""
    for left in path.parent.glob(f"{glob.escape(_prefix(path))}*.tmp"):
        pid = left.name.removeprefix(_prefix(path)).removesuffix(".tmp")
        if pid.isdigit() and not _is_alive(int(pid)):
            left.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    # Hardly ever anything is left, and most commands need it for nothing else.
    import psutil

    return psutil.pid_exists(pid)


def _write_plain(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
