"""The studies there are, and one of them by its name: in files of a directory, or in a storage of many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import optuna
from optuna.study import Study

from search.board.sources import is_sqlite
from search.origin import ORIGIN, read_origin
from search.status import locate_study, study_names
from search.storage import masked, open_existing, sqlite_path, sqlite_url, storage_errors
from search.study import quiet_optuna
from trainer import UserError


@dataclass(frozen=True)
class Entry:
    """One study. directory: of its trials, if they are on this machine."""

    study: Study
    storage_url: str = field(repr=False)
    directory: Path

    @property
    def name(self) -> str:
        """Its name in its storage."""
        return self.study.study_name

    @property
    def place(self) -> str:
        """Its storage as it may be shown."""
        return masked(self.storage_url)

    @property
    def file(self) -> Path | None:
        """The SQLite file it is in; None for a storage on the network."""
        return sqlite_path(self.storage_url)

    @property
    def is_alone(self) -> bool:
        """Is it the only study in its storage?"""
        return len(self.study._storage.get_all_studies()) == 1


@dataclass(frozen=True)
class Catalog:
    """storage_url: where the studies are; None: in the SQLite files of `studies_dir`."""

    studies_dir: Path
    storage_url: str | None = field(default=None, repr=False)

    def entries(self) -> Iterator[Entry]:
        """Every study. Raises UserError, StorageFault: a storage cannot be read."""
        if self.storage_url is not None:
            yield from self._in(self.storage_url)
            return
        for path in sorted(self.studies_dir.glob("*.db")):
            if is_sqlite(path):
                yield from self._in(sqlite_url(path))

    def find(self, name: str) -> Entry:
        """The study called `name`; without a storage also by its file, its directory or a URL.

        Raises:
            UserError: there is none, or the storage holds several and the name says not which.
        """
        url = self.storage_url or self._located(name)
        found = list(self._in(url))
        for entry in found:
            if entry.name == name:
                return entry
        if self.storage_url is None and len(found) == 1:
            return found[0]
        raise UserError(f"no study {name} in {masked(url)}; it holds: {_listed(found)}")

    def is_taken(self, name: str, storage_url: str) -> bool:
        """Is there a study of that name in that storage, or a directory of its trials?"""
        path = sqlite_path(storage_url)
        if (self.studies_dir / name).exists():
            return True
        if path is not None and not path.exists():
            return False
        return any(entry.name == name for entry in self._in(storage_url))

    def url_for(self, name: str) -> str:
        """Where a new study of that name belongs."""
        return self.storage_url or sqlite_url(self.studies_dir / f"{name}.db")

    def _located(self, name: str) -> str:
        """The storage of a study by name: a file here, or what its directory remembers."""
        if name not in study_names(self.studies_dir) and (self.studies_dir / name / ORIGIN).is_file():
            return read_origin(self.studies_dir / name).storage_url
        return locate_study(name, self.studies_dir)

    def _in(self, storage_url: str) -> Iterator[Entry]:
        quiet_optuna()
        with storage_errors(storage_url):
            storage = open_existing(storage_url)
            for frozen in sorted(storage.get_all_studies(), key=lambda study: study.study_name):
                study = optuna.load_study(study_name=frozen.study_name, storage=storage)
                yield Entry(study, storage_url, self.studies_dir / frozen.study_name)


def _listed(entries: list[Entry]) -> str:
    return ", ".join(entry.name for entry in entries) or "none"
