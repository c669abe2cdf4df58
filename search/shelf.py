"""All studies of a directory as one Optuna storage, to read; of all that can be written only notes."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from search.board.artifacts import Gallery
from search.board.trimmings import NOTE_KEY, Trimmings, overlaid, trimmings
from search.storage import open_file

#: room for the ids of one file; with a CRC-32 in front they stay below 2**53, which JavaScript can count
_ROOM = 10**6


@dataclass(frozen=True)
class _Home:
    """The file of a study or trial, the file's number, and the id in it."""

    storage: RDBStorage
    slot: int
    inner: int


def _refused(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Every way to write."""
    raise PermissionError("this view of the studies is read-only")


class Shelf(BaseStorage):
    """All studies in `*.db` of a directory as one storage that cannot be written, but for notes.

    gallery: where the artifacts of the trials are hung.

    An id is made of the file's name and the id in it, so addresses stay good when studies are added.
    A file that appears, goes, or is replaced while the dashboard is open is noticed.
    """

    def __init__(self, studies_dir: Path) -> None:
        self.gallery = Gallery()
        self._studies_dir = studies_dir
        self._trimmed: dict[tuple[Path, int], tuple[tuple[int, int], Trimmings]] = {}
        self._open: dict[tuple[Path, int], RDBStorage] = {}

    create_new_study = _refused
    delete_study = _refused
    set_study_user_attr = _refused
    create_new_trial = _refused
    set_trial_param = _refused
    set_trial_state_values = _refused
    set_trial_intermediate_value = _refused
    set_trial_user_attr = _refused
    set_trial_system_attr = _refused

    def get_all_studies(self) -> list[FrozenStudy]:
        """Every study of every file."""
        return [
            self._renamed(study, path=path)
            for path in self._files()
            for study in self._at(path).get_all_studies()
        ]

    def get_study_id_from_name(self, study_name: str) -> int:
        """The dashboard's id of the study shown under that name. Raises KeyError."""
        for study in self.get_all_studies():
            if study.study_name == study_name:
                return study._study_id
        raise KeyError(f"no study {study_name}")

    def get_study_name_from_id(self, study_id: int) -> str:
        """The name under which the study is shown. Raises KeyError."""
        path = self._path(study_id // _ROOM)
        return _shown(path, self._at(path).get_study_name_from_id(study_id % _ROOM))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """As its file has them."""
        home = self._home(study_id)
        return home.storage.get_study_directions(home.inner)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """As its file has them."""
        home = self._home(study_id)
        return home.storage.get_study_user_attrs(home.inner)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """As its file has them."""
        home = self._home(study_id)
        stored = _outward(home.storage.get_study_system_attrs(home.inner), home.slot)
        return overlaid(stored, self._trimmings(self._path(home.slot), home.inner).study)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Write a part of a note. Raises PermissionError: it is anything else."""
        note = NOTE_KEY.fullmatch(key)
        if note is None:
            raise PermissionError("of all that can be written here, only notes")
        home = self._home(study_id)
        inner = f"{int(note[1]) % _ROOM}:" if note[1] else ""
        home.storage.set_study_system_attr(home.inner, f"dashboard:{inner}{note[2]}", value)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """As its file has it, under the dashboard's id."""
        home = self._home(trial_id)
        path = self._path(home.slot)
        every = [self._trimmings(path, one._study_id).trials for one in home.storage.get_all_studies()]
        extra = next((trials[trial_id] for trials in every if trial_id in trials), {})
        return _under_id(home.storage.get_trial(home.inner), home, extra=extra)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """As their file has them, under the dashboard's ids."""
        home = self._home(study_id)
        trials = home.storage.get_all_trials(home.inner, deepcopy=deepcopy, states=states)
        extra = self._trimmings(self._path(home.slot), home.inner).trials
        ids = {trial.number: home.slot * _ROOM + trial._trial_id for trial in trials}
        return [_under_id(trial, home, extra=extra.get(ids[trial.number], {})) for trial in trials]

    def _trimmings(self, path: Path, inner: int) -> Trimmings:
        """What is shown of a study beyond its file; made anew when the file has changed."""
        now = (path.stat().st_mtime_ns, path.stat().st_size)
        key = (path, inner)
        if key not in self._trimmed or self._trimmed[key][0] != now:
            storage, slot = self._at(path), _slot(path)
            name = storage.get_study_name_from_id(inner)
            made = trimmings(
                name,
                user_attrs=storage.get_study_user_attrs(inner),
                trials=[
                    _under_id(trial, _Home(storage, slot, trial._trial_id), extra={})
                    for trial in storage.get_all_trials(inner, deepcopy=False)
                ],
                home=path.parent / name,
                gallery=self.gallery,
            )
            self._trimmed[key] = (now, made)
        return self._trimmed[key][1]

    def _home(self, outer: int) -> _Home:
        slot, inner = divmod(outer, _ROOM)
        return _Home(self._at(self._path(slot)), slot, inner)

    def _path(self, slot: int) -> Path:
        for path in self._files():
            if _slot(path) == slot:
                return path
        raise KeyError(f"no study file with the number {slot}")

    def _files(self) -> list[Path]:
        return [path for path in sorted(self._studies_dir.glob("*.db")) if is_sqlite(path)]

    def _at(self, path: Path) -> RDBStorage:
        # By inode: a file that was deleted and made again under its name is another one.
        key = (path, path.stat().st_ino)
        if key not in self._open:
            self._open[key] = open_file(path)
        return self._open[key]

    def _renamed(self, study: FrozenStudy, *, path: Path) -> FrozenStudy:
        shown = copy.copy(study)
        shown.study_name = _shown(path, study.study_name)
        extra = self._trimmings(path, study._study_id).study
        shown.system_attrs = overlaid(_outward(study.system_attrs, _slot(path)), extra)
        shown._study_id = _slot(path) * _ROOM + study._study_id
        return shown


def is_sqlite(path: Path) -> bool:
    """Does the file begin as an SQLite database does (https://www.sqlite.org/fileformat.html)?"""
    with path.open("rb") as stream:
        return stream.read(16) == b"SQLite format 3\0"


def _slot(path: Path) -> int:
    return zlib.crc32(path.name.encode())


def _shown(path: Path, name: str) -> str:
    """A study's own name; with its file's in front where the two differ, so that no two are alike."""
    return name if name == path.stem else f"{path.stem}/{name}"


def _outward(attributes: Mapping[str, Any], slot: int) -> dict[str, Any]:
    """System attributes of a file, notes of trials under the dashboard's ids."""
    found = {}
    for key, value in attributes.items():
        note = NOTE_KEY.fullmatch(key)
        outer = f"dashboard:{slot * _ROOM + int(note[1])}:{note[2]}" if note and note[1] else key
        found[outer] = value
    return found


def _under_id(trial: FrozenTrial, home: _Home, *, extra: Mapping[str, Any]) -> FrozenTrial:
    shown = copy.copy(trial)
    shown._system_attrs = {**trial._system_attrs, **extra}
    shown._trial_id = home.slot * _ROOM + trial._trial_id
    return shown
