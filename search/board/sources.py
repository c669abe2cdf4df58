"""Where the studies of a dashboard are: every SQLite file of a directory, or one storage that holds many."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from zlib import crc32

from optuna.storages import BaseStorage, RDBStorage

from search.importing import has_mark
from search.sight import sqlite_files
from search.storage.storage import open_existing, open_file

#: room for the ids of one file; with a CRC-32 in front they stay below 2**53, which JavaScript can count
_ROOM = 10**6


class Source(Protocol):
    """A storage, and how what is in it is numbered and named on the dashboard."""

    @property
    def storage(self) -> BaseStorage:
        """To read, and for notes."""

    @property
    def home(self) -> Path:
        """The parent of the studies' directories."""

    def outer(self, inner: int) -> int:
        """The dashboard's id of a study or trial."""

    def inner(self, outer: int) -> int:
        """The storage's id of a study or trial."""

    def shown(self, name: str) -> str:
        """What a study is called on the dashboard."""

    def version(self, study_id: int) -> object:
        """Something that is another thing once the study has changed; `study_id` is the storage's."""


class Sources(Protocol):
    """The sources there are now."""

    def all(self) -> list[Source]:
        """Every one."""

    def of(self, outer: int) -> Source:
        """The one that holds a study or trial of this id. Raises KeyError."""


@dataclass(frozen=True)
class FileSource:
    """One SQLite file. Ids are made of its name and the id in it, so they stay when files are added."""

    path: Path
    storage: RDBStorage

    @property
    def home(self) -> Path:
        """The directory of the file."""
        return self.path.parent

    @property
    def slot(self) -> int:
        """The file's number."""
        return crc32(self.path.name.encode())

    def outer(self, inner: int) -> int:
        """The file's number in front."""
        return self.slot * _ROOM + inner

    def inner(self, outer: int) -> int:
        """Without the file's number."""
        return outer % _ROOM

    def shown(self, name: str) -> str:
        """As `shown_of_file`."""
        return shown_of_file(self.path, name)

    def version(self, study_id: int) -> object:
        """Time and size of the file."""
        return self.path.stat().st_mtime_ns, self.path.stat().st_size


class Files:
    """The SQLite files of a directory; one that appears, goes, or is replaced meanwhile is noticed."""

    def __init__(self, studies_dir: Path) -> None:
        self._studies_dir = studies_dir
        self._open: dict[tuple[Path, int], FileSource] = {}

    def all(self) -> list[Source]:
        """By name."""
        return [self._at(path) for path in sqlite_files(self._studies_dir)]

    def of(self, outer: int) -> Source:
        """By the file's number in the id."""
        for source in self.all():
            if source.outer(source.inner(outer)) == outer:
                return source
        raise KeyError(f"no study file with the number {outer // _ROOM}")

    def _at(self, path: Path) -> FileSource:
        # By inode: a file that was deleted and made again under its name is another one.
        key = (path, path.stat().st_ino)
        if key not in self._open:
            self._open[key] = FileSource(path, open_file(path))
        return self._open[key]


class OneStorage:
    """All studies of one storage, under its own ids; `home` is the parent of their directories."""

    def __init__(self, storage_url: str, *, home: Path) -> None:
        """Raises UserError, StorageFault: as `open_existing`."""
        self.storage = open_existing(storage_url)
        self.home = home

    def all(self) -> list[Source]:
        """Itself."""
        return [self]

    def of(self, outer: int) -> Source:
        """Itself, whatever the id."""
        return self

    def outer(self, inner: int) -> int:
        """The same."""
        return inner

    def inner(self, outer: int) -> int:
        """The same."""
        return outer

    def shown(self, name: str) -> str:
        """The same."""
        return name

    def version(self, study_id: int) -> object:
        """State and number of reports of every trial, and whether the study is half imported."""
        trials = self.storage.get_all_trials(study_id, deepcopy=False)
        is_half = has_mark(self.storage.get_study_system_attrs(study_id))
        return is_half, [(trial.state, len(trial.intermediate_values)) for trial in trials]


def shown_of_file(path: Path, name: str) -> str:
    """A study's own name; with its file's in front where the two differ, so that no two are alike."""
    return name if name == path.stem else f"{path.stem}/{name}"
