"""Who uses an SQLite file at this moment: workers that keep their trials in one directory, or a server.

Whose a trial is, workers on an SQLite file tell by locks in the directory of their trials. That holds only
while all of them have the same one; the clients of `cp-search storage serve` have others. Each user
therefore leaves a locked entry beside the file, and who comes looks at those that are still locked.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from search.storage import sqlite_path
from trainer import UserError, write_json

#: as the home of a server: its clients have theirs elsewhere
SERVED = ""


@contextmanager
def tenant(storage_url: str, *, home: Path | None) -> Iterator[None]:
    """Use the file at `storage_url` for as long as the block runs; nothing is done for other storages.

    home: the directory of the studies where this worker keeps its trials; None: a server.

    Raises:
        UserError: somebody uses the file now who keeps trials elsewhere.
    """
    path = sqlite_path(storage_url)
    if path is None:
        yield
        return
    entries = _entries(path)
    entries.mkdir(parents=True, exist_ok=True)
    entry = entries / f"{uuid.uuid4().hex}.json"
    place = SERVED if home is None else str(home.resolve())
    lock = FileLock(entry.with_suffix(".lock"))
    with FileLock(entries / "door"):  # one comes in at a time
        for other in _others(entries):
            if other != place or place == SERVED:
                raise UserError(_refusal(path, other, mine=place))
        lock.acquire()
        write_json(entry, {"home": place})
    try:
        yield
    finally:
        entry.unlink(missing_ok=True)
        lock.release()
        _remove(entry)


def forget(path: Path) -> None:
    """Remove what is kept of the users of the file at `path`, which has none."""
    shutil.rmtree(_entries(path), ignore_errors=True)


def _entries(path: Path) -> Path:
    return path.with_name(f".{path.name}.users")


def _others(entries: Path) -> Iterator[str]:
    """Where those keep their trials who use the file now; what the dead have left is removed."""
    for lock in entries.glob("*.lock"):
        entry = lock.with_suffix(".json")
        try:
            with FileLock(lock, timeout=0):
                pass
        except Timeout:
            yield str(json.loads(entry.read_text(encoding="utf-8"))["home"])
        else:
            _remove(entry)


def _remove(entry: Path) -> None:
    entry.unlink(missing_ok=True)
    entry.with_suffix(".lock").unlink(missing_ok=True)


def _refusal(path: Path, other: str, *, mine: str) -> str:
    if mine == SERVED and other == SERVED:
        return f"{path} is served already; one server is enough"
    if mine == SERVED:
        return (
            f"a worker uses {path} itself, with its trials in {other}; end it, serve the file, and start it "
            "again with --storage grpc://HOST:PORT"
        )
    if other == SERVED:
        return (
            f"{path} is served by cp-search storage serve; work on it with --storage grpc://HOST:PORT, "
            "on this machine as well"
        )
    return f"another worker on {path} keeps its trials in {other}; type --studies-dir {other} here too"
