"""The mark of a study that is being imported: one whose import was cut off is never taken for a whole one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from search.marks import IMPORTING

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study


def mark(study: Study, *, importing: bool) -> None:
    """Say that the study is being imported, or that it is whole."""
    study._storage.set_study_system_attr(study._study_id, IMPORTING, importing)


def is_half_imported(study: Study) -> bool:
    """Is an import under way, or was it cut off?"""
    return has_mark(_attributes(study))


def has_mark(system_attrs: Mapping[str, object]) -> bool:
    """The same of a study's system attributes."""
    return bool(system_attrs.get(IMPORTING))


def may_be_replaced(study: Study) -> bool:
    """Is it half imported, or was it only just made and holds nothing?"""
    empty = not (_attributes(study) or study.user_attrs or study.get_trials(deepcopy=False))
    return empty or is_half_imported(study)


def clear(storage: BaseStorage, name: str) -> None:
    """Take away the study of this name, which `may_be_replaced`, if there is one."""
    for study in storage.get_all_studies():
        if study.study_name == name:
            storage.delete_study(study._study_id)


def _attributes(study: Study) -> dict[str, object]:
    return study._storage.get_study_system_attrs(study._study_id)
