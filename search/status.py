"""Where a study stands. Reads the storage and nothing else; never imports torch."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table
from rich.text import Text

from search.console import values_line
from search.storage import masked, open_existing, sqlite_url, storage_errors
from search.study import quiet_optuna
from trainer import UserError, closest


@dataclass(frozen=True)
class StudyStatus:
    """Where a study stands.

    trials: state (lower case) -> how many. best, running: {number, value, params}; of a running trial
    the value is its last report. causes: why trials are not complete -> how many. last_activity: ISO 8601,
    local time.
    """

    name: str
    storage: str
    trials: dict[str, int]
    causes: dict[str, int]
    best: dict[str, Any] | None
    running: list[dict[str, Any]]
    last_activity: str | None

    def to_json(self) -> dict[str, Any]:
        """The document of `status --json`."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The same for a person, as plain lines."""
        text = io.StringIO()
        Console(file=text, width=110, color_system=None).print(self.table())
        return [line.rstrip() for line in text.getvalue().splitlines()]

    def line(self) -> str:
        """The same in one line."""
        best = f"best {self.best['value']:.4f} (trial {self.best['number']})" if self.best else "no best yet"
        return f"{self.name}: {_counts(self.trials) or 'no trials yet'}; {best}; {self.storage}"

    def table(self) -> Table:
        """The same for a terminal."""
        table = Table(title=f"Study {self.name}", title_justify="left", show_header=False, box=None)
        for name, value in self._rows():
            table.add_row(name, Text(value, overflow="fold"))
        return table

    def _rows(self) -> list[tuple[str, str]]:
        rows = [("Storage", self.storage), ("Trials", _counts(self.trials) or "none yet")]
        if self.causes:
            rows.append(("Not complete", _counts(self.causes)))
        rows.append(("Best", _one(self.best) if self.best else "none yet"))
        rows += [("Running", _one(trial)) for trial in self.running]
        return [*rows, ("Last activity", self.last_activity or "none yet")]


def study_status(storage_url: str, *, name: str | None = None) -> StudyStatus:
    """Where the study at `storage_url` stands; `name` where the storage holds several.

    Raises:
        UserError: no such storage or study, or several and no name. StorageFault: it does not answer.
    """
    quiet_optuna()
    with storage_errors(storage_url):
        return status_of(load_only_study(storage_url, name=name), storage=masked(storage_url))


def load_only_study(storage_url: str, *, name: str | None = None) -> Study:
    """The study at `storage_url`; `name` where the storage holds several. Call it in `storage_errors`.

    Raises:
        UserError: no such storage or study, or several and no name.
    """
    return _only_study(open_existing(storage_url), name=name, where=masked(storage_url))


def locate_study(name_or_path: str, studies_dir: Path) -> str:
    """The storage URL meant by a study's name, its .db file, its directory, or a URL.

    Raises:
        UserError: there is none; the message lists what is there.
    """
    if "://" in name_or_path:
        return name_or_path
    given = Path(name_or_path)
    for candidate in (given, studies_dir / f"{name_or_path}.db", given.with_name(f"{given.name}.db")):
        if candidate.is_file():
            return sqlite_url(candidate)
    there = study_names(studies_dir)
    near = closest(name_or_path, there)
    hint = f"did you mean {near}? " if near else ""
    listed = (
        f"there are: {', '.join(there)}" if there else "there are none yet; cp-search run SPACE makes one"
    )
    raise UserError(f"no study {name_or_path} in {studies_dir}; {hint}{listed}")


def study_names(studies_dir: Path) -> list[str]:
    """Names of the SQLite studies in a directory, sorted."""
    return sorted(path.stem for path in studies_dir.glob("*.db"))


def _only_study(storage: BaseStorage, *, name: str | None, where: str) -> Study:
    names = [study.study_name for study in storage.get_all_studies()]
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        listed = f"it holds: {', '.join(names)}" if names else "it holds none"
        raise UserError(f"no study {name or 'to show'} in {where}; {listed}")
    return optuna.load_study(study_name=name, storage=storage)


def status_of(study: Study, *, storage: str) -> StudyStatus:
    """Where an open study stands; `storage` is shown as its place."""
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    best = max(complete, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)
    return StudyStatus(
        name=study.study_name,
        storage=storage,
        trials=_count(trial.state.name.lower() for trial in trials),
        causes=_count(trial.user_attrs["cause"] for trial in trials if "cause" in trial.user_attrs),
        best=_summary(best, value=best.value) if best else None,
        running=[_summary(trial, value=_last(trial)) for trial in running],
        last_activity=_last_activity(trials),
    )


def _count(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words))


def _summary(trial: FrozenTrial, *, value: float | None) -> dict[str, Any]:
    return {"number": trial.number, "value": value, "params": trial.params}


def _last(trial: FrozenTrial) -> float | None:
    return trial.intermediate_values[trial.last_step] if trial.last_step is not None else None


def _last_activity(trials: list[FrozenTrial]) -> str | None:
    times = [
        moment for trial in trials for moment in (trial.datetime_start, trial.datetime_complete) if moment
    ]
    latest: datetime | None = max(times, default=None)
    return latest.isoformat(timespec="seconds") if latest else None


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{number} {word}" for word, number in found.items())


def _one(trial: dict[str, Any]) -> str:
    value = f"{trial['value']:.4f}" if trial["value"] is not None else "not evaluated yet"
    return f"trial {trial['number']}: {value} ({values_line(trial['params'])})"
