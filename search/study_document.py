"""A study as one JSON document, and back: every trial with all that its storage knows of it.

What JSON has no word for (NaN, infinity) is written as {"float": "nan"}; all else reads as it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.finish.turn import FINISH_MARK
from search.finish.whereabouts import MODELS
from search.importing import clear, mark
from search.marks import IMPORTING
from trainer import UserError

FORMAT = "cp-search study 1"
#: system attributes that are true of a study where it was, and of no copy of it: who finishes it, ...
_OF_ITS_STORAGE = (FINISH_MARK, MODELS, IMPORTING)


def to_document(study: Study) -> dict[str, Any]:
    """The whole study, JSON-able."""
    return {
        "format": FORMAT,
        "name": study.study_name,
        "direction": study.direction.name.lower(),
        "user_attrs": _plain(study.user_attrs),
        "system_attrs": _plain(study._storage.get_study_system_attrs(study._study_id)),
        "trials": [_trial_document(trial) for trial in study.get_trials(deepcopy=False)],
    }


def read_document(path: Path) -> dict[str, Any]:
    """The document in a file. Raises UserError: it cannot be read, or is something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise UserError(f"{path} holds no study; write one with cp-search study export NAME --to FILE.json")
    return found


def restore(document: Mapping[str, Any], *, storage: BaseStorage, name: str) -> Study:
    """Make the study `name` in `storage` as `document` has it; numbers and states are the same.

    One of this name that an import left when it was cut off is made anew.

    Raises:
        UserError: a trial of the document cannot be read; nothing was made.
    """
    trials = _trials(document)
    clear(storage, name)
    study = optuna.create_study(study_name=name, storage=storage, direction=document["direction"])
    mark(study, importing=True)
    for key, value in _back(document["system_attrs"]).items():
        if key in _OF_ITS_STORAGE:
            continue
        storage.set_study_system_attr(study._study_id, key, value)
    study.add_trials(trials)
    # Last: a study without them is known to be half made.
    for key, value in _back(document["user_attrs"]).items():
        study.set_user_attr(key, value)
    mark(study, importing=False)
    return study


def _trial_document(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name,
        "values": _plain(trial.values),
        "datetime_start": _time(trial.datetime_start),
        "datetime_complete": _time(trial.datetime_complete),
        "params": _plain(trial.params),
        "distributions": {key: distribution_to_json(one) for key, one in trial.distributions.items()},
        "intermediate_values": {
            str(step): _plain(value) for step, value in trial.intermediate_values.items()
        },
        "constraints": _plain(trial.constraints),
        "user_attrs": _plain(trial.user_attrs),
        "system_attrs": _plain(trial.system_attrs),
    }


def _trials(document: Mapping[str, Any]) -> list[FrozenTrial]:
    found = []
    for number, one in enumerate(document["trials"]):
        try:
            found.append(_trial(one))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"trial {number} of the document cannot be read: {error!r}") from error
        if one["number"] != number:
            raise UserError(
                f"the trials of the document are not numbered from 0: {one['number']} is {number}th"
            )
    return found


def _trial(one: Mapping[str, Any]) -> FrozenTrial:
    trial = create_trial(
        state=TrialState[one["state"]],
        values=_back(one["values"]),
        params=_back(one["params"]),
        distributions={key: json_to_distribution(text) for key, text in one["distributions"].items()},
        user_attrs=_back(one["user_attrs"]),
        system_attrs=_back(one["system_attrs"]),
        intermediate_values={int(step): _back(value) for step, value in one["intermediate_values"].items()},
    )
    trial.datetime_start = _moment(one["datetime_start"])
    trial.datetime_complete = _moment(one["datetime_complete"])
    return trial


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _back(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"float"}:
            return float(value["float"])
        return {key: _back(item) for key, item in value.items()}
    return [_back(item) for item in value] if isinstance(value, list) else value
