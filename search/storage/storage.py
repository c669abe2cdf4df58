"""The storage of studies: opened with patience, its faults in one line, its password never shown."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from search.storage import postgres
from search.storage.answers import Answers, limit_s
from search.storage.database import DatabaseStorage, FileStorage
from search.storage.gathering import GatheringStorage
from search.storage.patience import Patience, PatientStorage, faults, first_line
from search.storage.served import ServedStorage
from search.storage.url import existing_url, is_local, masked, parsed, sqlite_path
from trainer import StorageFault, UserError

#: the storage's URL, for one whose password belongs in no command line
STORAGE_VARIABLE = "CP_SEARCH_STORAGE"
#: a writer that finds SQLite locked waits this long; the driver's own 5 s are too few on a slow disk
_LOCK_TIMEOUT_S = 120
#: a reader waits this long
_LOOK_TIMEOUT_S = 30
#: a server that is there answers sooner
_CONNECT_TIMEOUT_S = 10
#: looks at tables that another process is making at this moment, and from one to the next
_MAKING_LOOKS, _MAKING_S = 10, 0.5
_EXAMPLES = "use a URL such as sqlite:///studies/NAME.db, postgresql+psycopg://USER@HOST/DATABASE or grpc://HOST:13000"
#: the extra that brings the driver of a kind of storage
_EXTRAS = {"postgresql": "postgres", "grpc": "grpc"}


class NoStudy(UserError):
    """There is none of that name, or no file it could be in."""


def open_storage(
    storage_url: str, *, create: bool = True, say: Callable[[str], None] | None = None
) -> BaseStorage:
    """Optuna's storage at `storage_url`; tables, and the file of an SQLite one, are made if `create`.

    One on the network is waited for when it goes away later on; `say` is told so.

    Raises:
        UserError: the URL is none, or the place cannot be written. StorageFault: it does not answer.
    """
    answers = Answers(limit_s())
    try:
        url = parsed(storage_url)
        if url.get_backend_name() == "sqlite" and create:
            make_parent(url.database)
        served = url.get_backend_name() == "grpc"
        storage = _grpc_storage(url, answers) if served else _database(url, answers, create=create)
    except (ArgumentError, NoSuchModuleError) as error:
        raise UserError(f"--storage {masked(storage_url)}: {error}; {_EXAMPLES}") from error
    except ImportError as error:
        extra = _EXTRAS.get(parsed(storage_url).get_backend_name())
        remedy = f"; pip install 'cp-search[{extra}]'" if extra else ""
        raise UserError(
            f"{masked(storage_url)} needs a driver that is not installed: {error}{remedy}"
        ) from error
    if not is_local(storage_url):
        storage = PatientStorage(storage, Patience(say or unheard), answers)
    return GatheringStorage(storage)


def quiet_optuna() -> None:
    """Optuna's own log lines and its notes on experimental features are not for our users."""
    optuna.logging.set_verbosity(logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def open_existing(storage_url: str) -> BaseStorage:
    """The storage at `storage_url` to look into; makes nothing.

    Raises:
        UserError: as `open_storage`, or there is no such file. StorageFault: as `open_storage`.
    """
    require_existing(storage_url)
    path = sqlite_path(storage_url)
    return open_storage(storage_url, create=False) if path is None else open_file(path)


def require_existing(storage_url: str) -> None:
    """Check that the file of an SQLite storage is there. Raises NoStudy: it is not."""
    path = sqlite_path(storage_url)
    if path is not None and not path.is_file():
        raise NoStudy(f"no study at {path}: there is no such file")


def open_file(path: Path) -> RDBStorage:
    """The storage in an SQLite file that exists; nothing is created in it, or checked."""
    return FileStorage(existing_url(path), timeout_s=_LOOK_TIMEOUT_S)


def _database(url: URL, answers: Answers, *, create: bool) -> BaseStorage:
    if url.get_backend_name() == "sqlite":
        # The rollback journal stays, see docs/decisions/0035-fewer-transactions.md.
        settings: dict[str, Any] = {"connect_args": {"timeout": _LOCK_TIMEOUT_S}}
    else:
        settings = {"pool_pre_ping": True}
    if url.get_dialect().driver == postgres.DRIVER:
        settings["creator"] = postgres.connector(url, answers, timeout_s=_CONNECT_TIMEOUT_S)
    elif url.get_backend_name() == "postgresql":
        settings["connect_args"] = {"connect_timeout": _CONNECT_TIMEOUT_S}
    return DatabaseStorage(_tables(url, settings, create=create))


def _tables(url: URL, settings: dict[str, Any], *, create: bool) -> RDBStorage:
    """Optuna's own storage. Of workers that start at once all make its tables, and all but one fail at it."""
    looks = 0
    while True:
        try:
            return RDBStorage(
                url.render_as_string(hide_password=False),
                engine_kwargs=settings,
                skip_table_creation=not create,
            )
        except DBAPIError as error:
            looks += 1
            if not _was_made_meanwhile(error) or looks == _MAKING_LOOKS:
                raise
        time.sleep(_MAKING_S)


def _was_made_meanwhile(error: DBAPIError) -> bool:
    """Did another process make the table, or its first row, between the look and the writing?"""
    cause = str(error.orig).lower()
    return any(words in cause for words in ("already exists", "unique constraint"))


def _grpc_storage(url: URL, answers: Answers) -> BaseStorage:
    """A client of `cp-search storage serve`, or of Optuna's own proxy server."""
    if not url.host or url.port is None or url.password is not None:
        raise ArgumentError("gRPC takes a host and a port, and knows no login")
    storage = ServedStorage(host=url.host, port=url.port, answers=answers)
    try:
        storage.wait_server_ready(timeout=_CONNECT_TIMEOUT_S)
    except ConnectionError as error:
        raise StorageFault(
            f"nobody answers at grpc://{url.host}:{url.port}; start cp-search storage serve there, "
            "and see that its --host and the firewall let this machine in"
        ) from error
    return storage


def unheard(_line: str) -> None:
    """Nobody to tell."""


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
    except faults() as error:
        raise _storage_error(error, masked(storage_url)) from error


def make_parent(database: str | None) -> None:
    """Make the directory of an SQLite file. Raises UserError: it cannot be made."""
    if not database or database == ":memory:" or database.startswith("file:"):
        return
    parent = Path(database).parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {parent}: {error.strerror}; choose another --studies-dir") from error


def _storage_error(error: Exception, where: str) -> UserError | StorageFault:
    cause = first_line(error)
    if "not a database" in cause:
        return UserError(f"{where} is no SQLite database; choose another name, or move that file away")
    if "malformed" in cause:
        return UserError(f"{where} is damaged: {cause}; restore a copy of it, or move it away")
    if "no such table" in cause or "no such column" in cause:
        return UserError(
            f"{where} holds no studies of this Optuna: {cause}; move that file away, or choose another name"
        )
    if "unable to open" in cause or "readonly" in cause:
        return UserError(f"cannot write {where}: {cause}; choose another --studies-dir")
    if "disk is full" in cause:
        return UserError(f"cannot write {where}: {cause}; make room, and the same command goes on")
    if "no password supplied" in cause or "authentication failed" in cause:
        return UserError(
            f"{where} does not let this user in: {cause}; give the password in PGPASSWORD or ~/.pgpass, "
            f"or the whole URL in {STORAGE_VARIABLE}"
        )
    return StorageFault(f"the storage {where} failed: {cause}; the same command goes on once it is back")
