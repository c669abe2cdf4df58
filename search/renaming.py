"""A renaming under way: in the storage, the study's file, its directory, and where that remembers its path.

What is to be done is written down first, beside the directory, and that goes when all is done: cut off
anywhere, the same steps are taken again. Until then nobody works on the study under either name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from optuna.storages import RDBStorage
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from search.finish.whereabouts import follow
from search.marks import RENAMING
from search.origin import ORIGIN
from search.storage.storage import open_existing, require_existing, storage_errors
from search.storage.url import sqlite_url, without_password
from search.tenancy import forget
from trainer import UserError, write_json

#: files below a study's directory that name paths in it
_REMEMBERING = ("outcome.json", "retrained.json")


@dataclass(frozen=True)
class Renaming:
    """old, to: names of the study. home: parent of its directory.

    owns_file: a file in `home` holds this study only, and is named after it; else it lies at `storage_url`.
    """

    old: str
    to: str
    home: Path
    storage_url: str = field(repr=False)
    owns_file: bool = False

    @property
    def moves(self) -> list[tuple[Path, Path]]:
        """What lies here and is to be moved, and where to."""
        both = [(self.home / self.old, self.home / self.to)]
        if self.owns_file:
            both.insert(0, (self._file(self.old), self._file(self.to)))
        return [(old, new) for old, new in both if old.exists()]

    def carry_out(self) -> list[str]:
        """Do what is left to be done; it in lines.

        Raises:
            UserError: the name was taken meanwhile, nothing was changed.
        """
        moves = self.moves
        if moves:  # else it is one transaction
            record = asdict(self) | {"home": None, "storage_url": without_password(self.storage_url)}
            write_json(self.home / RENAMING, record)
        if not self.owns_file:
            self._in_storage(self.storage_url)
        elif self._file(self.old).exists():
            self._in_storage(sqlite_url(self._file(self.old)))
        for old, new in moves:
            old.rename(new)
        self._follow(self.home / self.to)
        (self.home / RENAMING).unlink(missing_ok=True)
        if self.owns_file:
            forget(self._file(self.old))  # whoever waits at its door comes in from here on
        return [f"{self.old} is now {self.to}", *(f"moved {old} to {new}" for old, new in moves)]

    def _file(self, name: str) -> Path:
        return self.home / f"{name}.db"

    def _in_storage(self, url: str) -> None:
        require_existing(url)
        with storage_errors(url):
            storage = RDBStorage(url, skip_compatibility_check=True, skip_table_creation=True)
            try:
                with storage.engine.begin() as connection:
                    connection.execute(
                        text("UPDATE studies SET study_name = :new WHERE study_name = :old"),
                        {"new": self.to, "old": self.old},
                    )
            except IntegrityError as error:
                (self.home / RENAMING).unlink(missing_ok=True)
                raise name_taken(self.to) from error
            finally:
                storage.engine.dispose()

    def _follow(self, directory: Path) -> None:
        """Say the new paths where the old ones are remembered: what was finished stays finished."""
        if not directory.is_dir():
            return
        before = self.home / self.old
        there, here = before.resolve(), directory.resolve()
        replaced = {str(before): str(directory), str(there): str(here)}
        for path in directory.rglob("*.json"):
            if path.name in _REMEMBERING:
                write_json(path, _renamed(json.loads(path.read_text(encoding="utf-8")), replaced))
        if not self.owns_file:
            with storage_errors(self.storage_url):
                follow(open_existing(self.storage_url), self.to, old=there, new=here)
        origin = directory / ORIGIN
        if origin.is_file():
            found = json.loads(origin.read_text(encoding="utf-8")) | {"name": self.to}
            if self.owns_file:
                found["storage"] = sqlite_url(self._file(self.to).resolve())
            write_json(origin, found)


def name_taken(name: str) -> UserError:
    """What a renaming to a name that is taken is refused with."""
    return UserError(f"there is a study {name} already, or files of one; choose another name")


def pending(home: Path, *, storage_url: str | None = None) -> Renaming | None:
    """The renaming that was cut off in `home`. storage_url: None takes the one it was begun with."""
    try:
        found = json.loads((home / RENAMING).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    url = storage_url or found["storage_url"]
    return Renaming(found["old"], found["to"], home, url, found["owns_file"])


def place_of(study: str, studies_dir: Path) -> tuple[Path, str]:
    """Where the study lies that is given by its name or its file, and its name."""
    given = Path(study)
    return (given.parent, given.stem) if given.suffix == ".db" else (studies_dir, study)


def require_whole(study: str, studies_dir: Path) -> None:
    """Check that no study is half renamed from or to this name.

    Raises:
        UserError: one is.
    """
    home, name = place_of(study, studies_dir)
    found = pending(home)
    if found is not None and name in (found.old, found.to):
        raise UserError(
            f"the renaming of study {found.old} to {found.to} was cut off; "
            f"type cp-search study rename {found.old} {found.to} again"
        )


def _renamed(value: Any, replaced: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(item, replaced) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, replaced) for item in value]
    for old, new in replaced.items():
        if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
            return new + value[len(old) :]
    return value
