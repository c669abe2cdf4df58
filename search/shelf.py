"""All studies of a dashboard as one Optuna storage, to read; of all that can be written only notes."""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping
from typing import Any

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from search.board.artifacts import Gallery
from search.board.sources import Source, Sources
from search.board.trimmings import NOTE_KEY, Trimmings, half_imported, overlaid, trimmings
from search.importing import has_mark


def _refused(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Every way to write."""
    raise PermissionError("this view of the studies is read-only")


class Shelf(BaseStorage):
    """All studies of `sources` as one storage that cannot be written, but for notes.

    gallery: where the artifacts of the trials are hung.
    """

    def __init__(self, sources: Sources) -> None:
        self.gallery = Gallery()
        self._sources = sources
        self._trimmed: dict[int, tuple[object, Trimmings]] = {}

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
        """Every study of every source."""
        return [
            self._renamed(study, source)
            for source in self._sources.all()
            for study in source.storage.get_all_studies()
        ]

    def get_study_id_from_name(self, study_name: str) -> int:
        """The dashboard's id of the study shown under that name. Raises KeyError."""
        for source in self._sources.all():
            for study in source.storage.get_all_studies():
                shown = source.shown(study.study_name)
                if study_name in (shown, _titled(shown, study.system_attrs)):
                    return source.outer(study._study_id)
        raise KeyError(f"no study {study_name}")

    def get_study_name_from_id(self, study_id: int) -> str:
        """The name under which the study is shown. Raises KeyError."""
        source = self._sources.of(study_id)
        inner = source.inner(study_id)
        shown = source.shown(source.storage.get_study_name_from_id(inner))
        return _titled(shown, source.storage.get_study_system_attrs(inner))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """As its storage has them."""
        source = self._sources.of(study_id)
        return source.storage.get_study_directions(source.inner(study_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """As its storage has them."""
        source = self._sources.of(study_id)
        return source.storage.get_study_user_attrs(source.inner(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """As its storage has them, and what is shown beyond it."""
        source = self._sources.of(study_id)
        stored = source.storage.get_study_system_attrs(source.inner(study_id))
        return overlaid(_outward(stored, source), self._trimmings(source, source.inner(study_id)).study)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Write a part of a note. Raises PermissionError: it is anything else."""
        note = NOTE_KEY.fullmatch(key)
        if note is None:
            raise PermissionError("of all that can be written here, only notes")
        source = self._sources.of(study_id)
        trial = f"{source.inner(int(note[1]))}:" if note[1] else ""
        source.storage.set_study_system_attr(source.inner(study_id), f"dashboard:{trial}{note[2]}", value)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """As its storage has it, under the dashboard's id."""
        source = self._sources.of(trial_id)
        extra = self._known(trial_id) or self._looked_up(trial_id, source)
        return _under_id(source.storage.get_trial(source.inner(trial_id)), source, extra=extra)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """As their storage has them, under the dashboard's ids."""
        source = self._sources.of(study_id)
        inner = source.inner(study_id)
        extra = self._trimmings(source, inner).trials
        trials = source.storage.get_all_trials(inner, deepcopy=deepcopy, states=states)
        return [
            _under_id(trial, source, extra=extra.get(source.outer(trial._trial_id), {})) for trial in trials
        ]

    def _known(self, trial_id: int) -> Mapping[str, Any] | None:
        """What is shown of a trial beyond its storage, if its study was looked at already."""
        for _, made in self._trimmed.values():
            if trial_id in made.trials:
                return made.trials[trial_id]
        return None

    def _looked_up(self, trial_id: int, source: Source) -> Mapping[str, Any]:
        for study in source.storage.get_all_studies():
            trials = self._trimmings(source, study._study_id).trials
            if trial_id in trials:
                return trials[trial_id]
        return {}

    def _trimmings(self, source: Source, inner: int) -> Trimmings:
        """What is shown of a study beyond its storage; made anew when it has changed."""
        now, key = source.version(inner), source.outer(inner)
        if key not in self._trimmed or self._trimmed[key][0] != now:
            self._trimmed[key] = (now, self._made(source, inner))
        return self._trimmed[key][1]

    def _made(self, source: Source, inner: int) -> Trimmings:
        storage = source.storage
        name = storage.get_study_name_from_id(inner)
        if has_mark(storage.get_study_system_attrs(inner)):
            return half_imported(name)
        trials = storage.get_all_trials(inner, deepcopy=False)
        return trimmings(
            name,
            user_attrs=storage.get_study_user_attrs(inner),
            trials=[_under_id(trial, source, extra={}) for trial in trials],
            home=source.home / name,
            gallery=self.gallery,
        )

    def _renamed(self, study: FrozenStudy, source: Source) -> FrozenStudy:
        shown = copy.copy(study)
        shown.study_name = _titled(source.shown(study.study_name), study.system_attrs)
        extra = self._trimmings(source, study._study_id).study
        shown.system_attrs = overlaid(_outward(study.system_attrs, source), extra)
        shown._study_id = source.outer(study._study_id)
        return shown


def _titled(shown: str, system_attrs: Mapping[str, Any]) -> str:
    """What a study is called in the list, which says so of one that is not whole."""
    return f"{shown} (half imported)" if has_mark(system_attrs) else shown


def _outward(attributes: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """System attributes of a storage, notes of trials under the dashboard's ids."""
    found = {}
    for key, value in attributes.items():
        note = NOTE_KEY.fullmatch(key)
        outer = f"dashboard:{source.outer(int(note[1]))}:{note[2]}" if note and note[1] else key
        found[outer] = value
    return found


def _under_id(trial: FrozenTrial, source: Source, *, extra: Mapping[str, Any]) -> FrozenTrial:
    shown = copy.copy(trial)
    shown._system_attrs = {**trial._system_attrs, **extra}
    shown._trial_id = source.outer(trial._trial_id)
    return shown
