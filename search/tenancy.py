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
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import BaseFileLock, FileLock

from search.locks import is_held
from search.storage.storage import make_parent
from search.storage.url import sqlite_path
from trainer import UserError, disk_errors, sweep, write_json

#: as the home of a server: its clients have theirs elsewhere
SERVED = ""


@dataclass(frozen=True)
class User:
    """One of a file. home: the directory of its studies; identity: of that directory, whatever its name."""

    home: str
    identity: str = ""


@contextmanager
def tenant(storage_url: str, *, home: Path | None) -> Iterator[None]:
    """Use the file at `storage_url` for as long as the block runs; nothing is done for other storages.

    home: the directory of the studies where this worker keeps its trials; None: a server.

    Raises:
        UserError: somebody uses the file now who keeps trials elsewhere, or its directory cannot be written.
    """
    path = sqlite_path(storage_url)
    if path is None:
        yield
        return
    entry, lock = _come_in(path, home)
    try:
        yield
    finally:
        lock.release()  # first: what is locked has its entry
        _remove(entry)


def _come_in(path: Path, home: Path | None) -> tuple[Path, BaseFileLock]:
    make_parent(str(path))
    entries = _entries(path)
    entry = entries / f"{uuid.uuid4().hex}.json"
    lock = FileLock(entry.with_suffix(".lock"))
    with disk_errors(entries), _door(entries):
        sweep(entries)
        if home is not None:
            home.mkdir(parents=True, exist_ok=True)
        mine = User(SERVED) if home is None else User(str(home.resolve()), _identity(home))
        for other in _others(entries):
            if other.home == SERVED or other.identity != mine.identity:
                raise UserError(_refusal(path, other.home, mine=mine.home))
        lock.acquire()
        write_json(entry, asdict(mine))
    return entry, lock


@contextmanager
def shut(path: Path) -> Iterator[list[str]]:
    """Nobody comes to use the file at `path` while the block runs.

    Gives where those keep their trials who use it already; of a server it is `SERVED`.
    """
    entries = _entries(path)
    made = not entries.is_dir()
    with _door(entries):
        try:
            yield [one.home for one in _others(entries)]
        finally:
            # Somebody may have come in before the door was shut.
            if made and not list(_others(entries)):
                forget(path)


@contextmanager
def _door(entries: Path) -> Iterator[None]:
    """One at a time."""
    door = FileLock(entries / "door")
    while not door.is_locked:
        with disk_errors(entries):
            entries.mkdir(exist_ok=True)
            # Whoever was in may have deleted the file, and with it what was kept of its users.
            with suppress(FileNotFoundError):
                door.acquire()
    try:
        yield
    finally:
        door.release()


def forget(path: Path) -> None:
    """Remove what is kept of the users of the file at `path`, which has none."""
    shutil.rmtree(_entries(path), ignore_errors=True)


def _entries(path: Path) -> Path:
    path = path.resolve()
    return path.with_name(f".{path.name}.users")


def _identity(directory: Path) -> str:
    """The same for one directory under two names, as a container has it."""
    found = directory.stat()
    return f"{found.st_dev}:{found.st_ino}"


def _others(entries: Path) -> Iterator[User]:
    """Those who use the file now; what the dead have left is removed."""
    for lock in entries.glob("*.lock"):
        entry = lock.with_suffix(".json")
        if not is_held(lock):
            _remove(entry)
            continue
        try:
            told = entry.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue  # gone since: nobody needs the door to leave
        yield User(**json.loads(told))


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
