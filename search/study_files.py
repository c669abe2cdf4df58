"""Renaming and deleting a study: in its storage, and what lies on this machine of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import text
from sqlalchemy.engine import make_url

from search.catalog import Catalog, Entry
from search.engine.child import CHILD_LOCK
from search.finish.place import FINISH_LOCK
from search.finish.turn import finisher
from search.heart import mark_of
from search.origin import ORIGIN
from search.ownership import STUDY_LOCK, TRIAL_LOCK
from search.storage import sqlite_url, storage_errors
from trainer import UserError, show_size, write_json

#: files below a study's directory that name paths in it
_REMEMBERING = ("outcome.json", "retrained.json")


def rename(entry: Entry, *, to: str, catalog: Catalog) -> list[str]:
    """Give the study another name; what was moved, in lines.

    A file that holds this study only is named after it, as is the directory of its trials.

    Raises:
        UserError: a worker is at it, the name is taken, or the storage cannot rename.
    """
    require_idle(entry)
    moves = _moves(entry, to, catalog)
    if make_url(entry.storage_url).get_backend_name() == "grpc":
        raise UserError(
            "gRPC cannot rename a study; do it where the database is, with --storage of its own URL"
        )
    target = catalog.url_for(to) if entry.file is None or not moves else entry.storage_url
    if any(new.exists() for _, new in moves) or (entry.file is None and catalog.is_taken(to, target)):
        raise UserError(f"there is a study {to} already, or files of one; choose another name")
    with storage_errors(entry.storage_url):
        storage = RDBStorage(entry.storage_url, skip_compatibility_check=True, skip_table_creation=True)
        with storage.engine.begin() as connection:
            connection.execute(
                text("UPDATE studies SET study_name = :new WHERE study_name = :old"),
                {"new": to, "old": entry.name},
            )
        storage.engine.dispose()
    for old, new in moves:
        old.rename(new)
    if entry.directory.with_name(to).is_dir():
        _follow(entry.directory.with_name(to), entry, to=to)
    return [f"{entry.name} is now {to}", *(f"moved {old} to {new}" for old, new in moves)]


def what_goes(entry: Entry) -> list[str]:
    """What `delete` would take away, in lines."""
    count = len(entry.study.get_trials(deepcopy=False))
    found = [f"study {entry.name} with {count} trials in {entry.place}"]
    if entry.file is not None and entry.is_alone:
        found.append(f"the file {entry.file}")
    if entry.directory.is_dir():
        found.append(
            f"the directory {entry.directory} ({show_size(_size(entry.directory))}: {_inside(entry)})"
        )
    return found


def delete(entry: Entry) -> None:
    """Take away what `what_goes` says. Raises UserError: a worker is at it."""
    require_idle(entry)
    alone, file = entry.is_alone, entry.file
    with storage_errors(entry.storage_url):
        if not (file and alone):
            entry.study._storage.delete_study(entry.study._study_id)
    if entry.directory.is_dir():
        shutil.rmtree(entry.directory)
    if file is not None and alone:
        file.unlink()


def require_idle(entry: Entry) -> None:
    """Check that no worker is at the study, as far as can be seen from here.

    Raises:
        UserError: one is, or may be on another machine.
    """
    for lock in _locks(entry.directory):
        try:
            with FileLock(lock, timeout=0):
                continue
        except Timeout as error:
            raise UserError(
                f"somebody works on study {entry.name} ({lock.parent}); end that first"
            ) from error
    running = [trial for trial in entry.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]
    elsewhere = [trial.number for trial in running if mark_of(trial)[0]]
    if elsewhere:
        raise UserError(
            f"a worker may be running trial {elsewhere[0]} of study {entry.name} on another machine; end it "
            "there with Ctrl-C, or let cp-search run take the trial over and end that"
        )
    host = finisher(entry.study)
    if host is not None:
        raise UserError(
            f"a worker on {host} may be making the final model of study {entry.name}; end it there with "
            "Ctrl-C, or let cp-search run take that over and end that"
        )


def _locks(directory: Path) -> Iterator[Path]:
    found = [
        directory / STUDY_LOCK,
        directory / FINISH_LOCK,
        *directory.glob(f"trial-*/{TRIAL_LOCK}"),
        *directory.glob(f"**/{CHILD_LOCK}"),  # of trials, and of the finish's parts
    ]
    yield from (lock for lock in found if lock.exists())


def _moves(entry: Entry, to: str, catalog: Catalog) -> list[tuple[Path, Path]]:
    moves = []
    if entry.file is not None and entry.is_alone:
        moves.append((entry.file, entry.file.with_name(f"{to}.db")))
    if entry.directory.is_dir():
        moves.append((entry.directory, entry.directory.with_name(to)))
    return moves


def _follow(directory: Path, entry: Entry, *, to: str) -> None:
    """Say the new paths where the old ones are remembered: what was finished stays finished."""
    replaced = {
        str(entry.directory): str(directory),
        str(entry.directory.resolve()): str(directory.resolve()),
    }
    for path in directory.rglob("*.json"):
        if path.name in _REMEMBERING:
            write_json(path, _renamed(json.loads(path.read_text(encoding="utf-8")), replaced))
    origin = directory / ORIGIN
    if origin.is_file():
        found = json.loads(origin.read_text(encoding="utf-8")) | {"name": to}
        if entry.file is not None and not entry.file.exists():
            found["storage"] = sqlite_url(entry.file.resolve().with_name(f"{to}.db"))
        write_json(origin, found)


def _renamed(value: Any, replaced: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(item, replaced) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, replaced) for item in value]
    for old, new in replaced.items():
        if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
            return new + value[len(old) :]
    return value


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _inside(entry: Entry) -> str:
    trials = len(list(entry.directory.glob("trial-*")))
    final = ", the final model" if (entry.directory / "final").is_dir() else ""
    return f"{trials} trials{final}"
