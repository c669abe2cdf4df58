"""The storage of studies: opened with patience, its faults in one line, its password never shown."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from trainer import StorageFault, UserError

#: a writer that finds SQLite locked waits this long; the driver's own 5 s are too few on a slow disk
_LOCK_TIMEOUT_S = 120


def open_storage(storage_url: str, *, create: bool = True) -> RDBStorage:
    """Optuna's storage at `storage_url`; tables, and the file of an SQLite one, are made if `create`.

    Raises:
        UserError: the URL is none, or the place cannot be written.
    """
    try:
        url = make_url(storage_url)
        arguments: dict[str, Any] = {}
        if url.get_backend_name() == "sqlite":
            # The rollback journal stays: WAL would be quicker by milliseconds a trial, and does not
            # work on network and WSL drives.
            arguments = {"connect_args": {"timeout": _LOCK_TIMEOUT_S}}
            if create:
                _make_parent(url.database)
        return RDBStorage(storage_url, engine_kwargs=arguments, skip_table_creation=not create)
    except (ArgumentError, NoSuchModuleError) as error:
        raise UserError(
            f"--storage {masked(storage_url)}: {error}; use a URL such as sqlite:///studies/NAME.db"
        ) from error
    except ImportError as error:
        raise UserError(f"{masked(storage_url)} needs a driver that is not installed: {error}") from error


def sqlite_url(path: Path) -> str:
    """The storage URL of an SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def existing_url(path: Path) -> str:
    """The storage URL of an SQLite file that must exist: opening it makes no file."""
    # Quoted twice: for SQLite's URI (https://www.sqlite.org/uri.html) here, for SQLAlchemy's URL below.
    uri = f"file:{quote(str(path.resolve()))}"
    return URL.create("sqlite", database=uri, query={"mode": "rw", "uri": "true"}).render_as_string()


def sqlite_path(storage_url: str) -> Path | None:
    """The file of a plain SQLite URL; None for every other."""
    try:
        url = make_url(storage_url)
    except ArgumentError:
        return None
    plain = (
        url.get_backend_name() == "sqlite" and not url.query and url.database not in (None, "", ":memory:")
    )
    return Path(str(url.database)) if plain else None


def masked(storage_url: str) -> str:
    """`storage_url` without its password."""
    try:
        return make_url(storage_url).render_as_string(hide_password=True)
    except ArgumentError:
        return "the given URL"


def require_place(storage_url: str) -> None:
    """Check that the file of an SQLite storage could be made, without making it.

    Raises:
        UserError: it could not.
    """
    path = sqlite_path(storage_url)
    if path is None or path.exists():
        return
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        reason = "not writable" if parent.is_dir() else f"{parent.name} is not a directory"
        raise UserError(f"cannot make {path.parent}: {reason}; choose another --studies-dir")


@contextmanager
def storage_errors(storage_url: str) -> Iterator[None]:
    """Turn what a storage raises into one line.

    Raises:
        UserError: it cannot be opened or written, or holds something else. StorageFault: it fails.
    """
    try:
        yield
    except (DBAPIError, sqlite3.Error, StorageInternalError) as error:
        raise _storage_error(error, masked(storage_url)) from error


def _make_parent(database: str | None) -> None:
    if not database or database == ":memory:" or database.startswith("file:"):
        return
    parent = Path(database).parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {parent}: {error.strerror}; choose another --studies-dir") from error


def _storage_error(error: Exception, where: str) -> UserError | StorageFault:
    cause = str(error.__cause__ or getattr(error, "orig", None) or error).splitlines()[0]
    if "not a database" in cause:
        return UserError(f"{where} is no SQLite database; choose another name, or move that file away")
    if "unable to open" in cause or "readonly" in cause:
        return UserError(f"cannot write {where}: {cause}; choose another --studies-dir")
    return StorageFault(f"the storage {where} failed: {cause}; the same command goes on once it is back")
