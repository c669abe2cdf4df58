"""Reading a study's storage and directory into `StudyFacts`. Changes nothing and imports no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.importance import get_param_importances
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.best import best_of
from search.catalog import load_only_study
from search.finish.finished import FINAL
from search.finish.stored import Stored, read_stored
from search.marks import ATTRIBUTE
from search.report.earlier import earlier_finish
from search.report.facts import COMPLETE, PRUNED, Axis, ConfigSource, Saving, StudyFacts, TrialFacts, Trimmed
from search.room import ROOM_FILE
from search.storage.storage import quiet_optuna, storage_errors
from search.storage.url import masked, sqlite_path
from search.verdict import told_halvings, told_measures

GIB = 2**30
#: completed trials below which an importance says more about chance than about the hyperparameters
_LEAST_TRIALS = 4


def gather(storage_url: str, *, studies_dir: Path, name: str | None = None) -> StudyFacts:
    """The facts of the study at `storage_url`.

    Its trials lie beside its SQLite file; those of another storage in `studies_dir`.

    Raises:
        UserError: no such storage or study. StorageFault: it does not answer.
    """
    quiet_optuna()
    with storage_errors(storage_url):
        study = load_only_study(storage_url, name=name)
        found = study.get_trials(deepcopy=False)
        attribute = json.loads(study.user_attrs.get(ATTRIBUTE, "{}"))
        importance = _importance(study, found)
    file = sqlite_path(storage_url)
    directory = (file.parent if file else studies_dir) / study.study_name
    trials = tuple(trial_facts(trial, directory) for trial in found)
    best = best_of(trial for trial in trials if trial.value is not None)
    facts = StudyFacts(
        name=study.study_name,
        storage=masked(storage_url),
        directory=str(directory),
        trials=trials,
        best=best,
        axes=_axes(found),
        importance=importance,
        saving=saving(trials),
        seconds=sum(trial.seconds or 0.0 for trial in trials),
        versions=attribute.get("versions", {}),
        model_name=attribute.get("definition", {}).get("config", {}).get("model", {}).get("name"),
        card=attribute.get("room", {}).get("card"),
        trimmed=_trimmed(directory, attribute.get("room", {}).get("trimmed", {})),
    )
    return _with_finish(_with_times(facts, found), directory)


def saving(trials: Sequence[TrialFacts]) -> Saving:
    """What pruning saved: each pruned trial's time per evaluation, times the evaluations it was spared."""
    pruned = [trial for trial in trials if trial.cause == "pruned"]
    whole = max((max(t.reports) for t in trials if t.state == COMPLETE and t.reports), default=None)
    if whole is None:
        return Saving(len(pruned))
    spared = sum(
        (trial.seconds or 0.0) / max(trial.reports) * max(0, whole - max(trial.reports))
        for trial in pruned
        if trial.reports
    )
    return Saving(len(pruned), spared, whole)


@dataclass(frozen=True)
class _Left:
    """What a trial's directory holds of how it ended."""

    outcome: Mapping[str, Any]

    def number(self, key: str) -> int | None:
        value = self.outcome.get(key)
        return int(value) if isinstance(value, (int, float)) else None

    def several(self, key: str) -> tuple[Any, ...]:
        value = self.outcome.get(key)
        return tuple(value) if isinstance(value, list) else ()


def trial_facts(trial: FrozenTrial, directory: Path) -> TrialFacts:
    """One trial, with what it left in the study's `directory`, or what the storage was told of that."""
    home = directory / f"trial-{trial.number:04d}"
    left = _Left(_json(home / "outcome.json") or {})
    attributes = trial.user_attrs
    state = trial.state.name.lower()
    return TrialFacts(
        number=trial.number,
        state=state,
        value=trial.value if trial.state == TrialState.COMPLETE else None,
        params=dict(trial.params),
        reports={step: value for step, value in trial.intermediate_values.items() if math.isfinite(value)},
        seconds=attributes.get("seconds"),
        cause=attributes.get("cause") or (PRUNED if state == PRUNED else None),
        error=attributes.get("error") or left.outcome.get("error"),
        predicted_bytes=left.number("predicted_peak_bytes") or _bytes(attributes.get("predicted_gib")),
        measured_bytes=left.number("measured_peak_bytes") or _bytes(attributes.get("peak_gib")),
        limit_bytes=left.number("limit_bytes"),
        measures=left.several("measures") or told_measures(attributes),
        oom_events=left.several("oom_events") or told_halvings(attributes),
        directory=str(home) if home.is_dir() else None,
    )


def _bytes(gib: float | None) -> int | None:
    return round(gib * GIB) if gib is not None else None


def _axes(trials: Iterable[FrozenTrial]) -> tuple[Axis, ...]:
    found: dict[str, BaseDistribution] = {}
    for trial in trials:
        found |= trial.distributions
    return tuple(_axis(key, distribution) for key, distribution in found.items())


def _axis(key: str, distribution: BaseDistribution) -> Axis:
    if isinstance(distribution, CategoricalDistribution):
        return Axis(key, choices=tuple(distribution.choices))
    low, high, log = (getattr(distribution, part) for part in ("low", "high", "log"))
    return Axis(key, low=float(low), high=float(high), log=bool(log))


def _importance(study: Study, trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """Shares by PED-ANOVA (https://arxiv.org/abs/2304.10255), Optuna's default."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    values = {trial.value for trial in complete}
    if len(complete) < _LEAST_TRIALS or len(values) < 2:
        return {}
    return dict(get_param_importances(study))


def _with_times(facts: StudyFacts, trials: Sequence[FrozenTrial]) -> StudyFacts:
    starts = [trial.datetime_start for trial in trials if trial.datetime_start]
    ends = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    if not starts:
        return facts
    first, last = (
        moment.isoformat(sep=" ", timespec="minutes") for moment in (min(starts), max(starts + ends))
    )
    return replace(facts, started=first, last_activity=last)


def _trimmed(directory: Path, trimmed: Mapping[str, Sequence[Any]]) -> tuple[Trimmed, ...]:
    """What was trimmed, with the least numbers of `room.json` where it is there."""
    planned = (_json(directory / ROOM_FILE) or {}).get("planned", [])
    found = []
    for key, choice in ((key, choice) for key, choices in trimmed.items() for choice in choices):
        rooms = [one["room"] for one in planned if one["values"].get(key) == choice]
        least = min(rooms, key=lambda room: room["needed_bytes"], default=None)
        sizes = (least["needed_bytes"], least["limit_bytes"]) if least else (None, None)
        found.append(Trimmed(key, choice, *sizes))
    return tuple(found)


def _with_finish(facts: StudyFacts, directory: Path) -> StudyFacts:
    stored = read_stored(directory)
    if stored.final is None:
        stored = earlier_finish(directory / FINAL, stored)
    curve = _json(directory / FINAL / "experiment" / "metrics.json") or []
    config, source = _config(facts, stored)
    return replace(facts, stored=stored, curve=tuple(curve), config=config, config_source=source)


def _config(facts: StudyFacts, stored: Stored) -> tuple[str | None, ConfigSource | None]:
    if stored.final is not None and stored.final.config:
        return stored.final.config, "final"
    if facts.best is None or facts.best.directory is None:
        return None, None
    file = Path(facts.best.directory) / "config.yaml"
    return (file.read_text(encoding="utf-8"), "trial") if file.is_file() else (None, None)


def _json(path: Path) -> Any:
    """What lies at `path`; None when nothing does, or it is torn."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
