"""The studies there are, and one of them by its name: in files of a directory, or in a storage of many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.importing import is_half_imported, may_be_replaced
from search.origin import ORIGIN, read_origin
from search.renaming import require_whole
from search.sight import SeenTrial, Sight, names_in_file, sqlite_files
from search.storage.storage import NoStudy, open_existing, quiet_optuna, storage_errors
from search.storage.url import masked, sqlite_path, sqlite_url
from trainer import UserError, closest


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

    def sight(self) -> Sight:
        """What is seen of it. Raises UserError, StorageFault: as `storage_errors`."""
        with storage_errors(self.storage_url):
            trials = self.study.get_trials(deepcopy=False)
            attributes = self.study._storage.get_study_system_attrs(self.study._study_id)
        return Sight(self.name, self.place, self.directory, attributes, list(map(_seen, trials)))


@dataclass(frozen=True)
class Catalog:
    """The studies of one place. storage_url: where that is; None: the SQLite files of `studies_dir`."""

    studies_dir: Path
    storage_url: str | None = field(default=None, repr=False)

    def entries(self) -> Iterator[Entry]:
        """Every study. Raises UserError, StorageFault: a storage cannot be read."""
        if self.storage_url is not None:
            yield from _entries(self.storage_url, home=self.studies_dir)
            return
        for path in sqlite_files(self.studies_dir):
            yield from self.in_file(path)

    def in_file(self, path: Path) -> Iterator[Entry]:
        """Those of an SQLite file of the directory. Raises as `entries`."""
        return _entries(sqlite_url(path), home=self.studies_dir)

    def find(self, name: str, *, whole: bool = True) -> Entry:
        """The study called `name`; without a storage also by its file, its directory or a URL.

        whole: one that was imported only half is refused.

        Raises:
            NoStudy: there is none.
            UserError: the file holds several and the name says not which, or an import or a renaming of it
                was cut off.
        """
        require_whole(name, self.studies_dir)
        entry = self._found(name)
        if whole and is_half_imported(entry.study):
            raise UserError(
                f"the import of study {entry.name} was cut off; type the same cp-search study import again, "
                f"or cp-search study delete {entry.name}"
            )
        return entry

    def _found(self, name: str) -> Entry:
        url, home = self._located(name)
        found = list(_entries(url, home=home))
        for entry in found:
            if entry.name == name:
                return entry
        if self.storage_url is None and len(found) == 1:
            return found[0]
        message = f"no study {name} in {masked(url)}; it holds: {_listed(found)}"
        is_file = self.storage_url is None and sqlite_path(url) is not None
        raise UserError(message) if is_file and found else NoStudy(message)

    def is_taken(self, name: str, storage_url: str) -> bool:
        """Is there a study of that name in that storage, or a directory of its trials?"""
        path = sqlite_path(storage_url)
        if (self.studies_dir / name).exists():
            return True
        if path is not None and not path.exists():
            return False
        return any(entry.name == name for entry in _entries(storage_url, home=self.studies_dir))

    def may_import(self, name: str, storage_url: str) -> bool:
        """Is the name free in that storage, or has an import that was cut off taken it?"""
        if not self.is_taken(name, storage_url):
            return True
        if (self.studies_dir / name).exists():
            return False
        entries = _entries(storage_url, home=self.studies_dir)
        return any(entry.name == name and may_be_replaced(entry.study) for entry in entries)

    def url_for(self, name: str) -> str:
        """Where a new study of that name belongs."""
        return self.storage_url or sqlite_url(self.studies_dir / f"{name}.db")

    def _located(self, name: str) -> tuple[str, Path]:
        """The storage of a study, and where its directory is: beside its SQLite file, else `studies_dir`."""
        if self.storage_url is not None:
            return self.storage_url, self.studies_dir
        if name not in study_names(self.studies_dir) and (self.studies_dir / name / ORIGIN).is_file():
            return read_origin(self.studies_dir / name).storage_url, self.studies_dir
        url = locate_study(name, self.studies_dir)
        path = sqlite_path(url)
        return url, path.parent if path else self.studies_dir


def load_only_study(storage_url: str, *, name: str | None = None) -> Study:
    """The study at `storage_url`; `name` where the storage holds several. Call it in `storage_errors`.

    Raises:
        UserError: no such storage or study, or several and no name.
    """
    storage = open_existing(storage_url)
    names = [study.study_name for study in storage.get_all_studies()]
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        listed = f"it holds: {', '.join(names)}" if names else "it holds none"
        raise UserError(f"no study {name or 'to show'} in {masked(storage_url)}; {listed}")
    return optuna.load_study(study_name=name, storage=storage)


def locate_study(name_or_path: str, studies_dir: Path) -> str:
    """The storage URL meant by a study's name, its .db file, its directory, or a URL.

    A file need not be named after the study, but one that is comes first.

    Raises:
        NoStudy: there is none; the message lists what is there.
    """
    if "://" in name_or_path:
        return name_or_path
    given = Path(name_or_path)
    for candidate in (given, studies_dir / f"{name_or_path}.db", given.with_name(f"{given.name}.db")):
        if candidate.is_file():
            return sqlite_url(candidate)
    for path in sqlite_files(studies_dir):
        if name_or_path in names_in_file(path):
            return sqlite_url(path)
    there = study_names(studies_dir)
    if not there:
        raise NoStudy(
            f"no study {name_or_path} in {studies_dir}; there are none yet; cp-search run SPACE makes one"
        )
    near = closest(name_or_path, there)
    hint = f"did you mean {near}? " if near else ""
    raise NoStudy(f"no study {name_or_path} in {studies_dir}; {hint}there are: {', '.join(there)}")


def study_names(studies_dir: Path) -> list[str]:
    """Names of the SQLite studies in a directory, sorted."""
    return sorted(path.stem for path in studies_dir.glob("*.db") if path.is_file())


def _entries(storage_url: str, *, home: Path) -> Iterator[Entry]:
    """Every study of a storage; `home` holds the directories of their trials."""
    quiet_optuna()
    with storage_errors(storage_url):
        storage = open_existing(storage_url)
        for frozen in sorted(storage.get_all_studies(), key=lambda study: study.study_name):
            study = optuna.load_study(study_name=frozen.study_name, storage=storage)
            yield Entry(study, storage_url, home / frozen.study_name)


def _seen(trial: FrozenTrial) -> SeenTrial:
    return SeenTrial(
        number=trial.number,
        state=trial.state.name.lower(),
        value=trial.value,
        last_report=trial.intermediate_values[trial.last_step] if trial.last_step is not None else None,
        cause=trial.user_attrs.get("cause"),
        params=trial.params,
        times=tuple(time for time in (trial.datetime_start, trial.datetime_complete) if time),
    )


def _listed(entries: list[Entry]) -> str:
    return ", ".join(entry.name for entry in entries) or "none"
