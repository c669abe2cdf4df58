"""Where a study stands. Reads the storage and the record of its finish; of an SQLite file without Optuna."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from search.best import best_of
from search.columns import in_columns
from search.finish.finished import Finished, read_finished, read_given_up
from search.finish.whereabouts import Whereabouts, there
from search.importing import has_mark
from search.language import translated
from search.marks import RENAMING
from search.sight import SeenTrial, Sight, seen_in_file, sqlite_files
from search.values import values_line
from trainer import CpSearchError, StorageFault, UserError


@dataclass(frozen=True)
class StudyStatus:
    """Where a study stands.

    trials: state (lower case) -> how many. best, running: {number, value, params}; of a running trial
    the value is its last report. causes: why trials are not complete -> how many. last_activity: ISO 8601,
    local time. final: the finished model; None before there is one. elsewhere: models that machines without
    this directory have noted in the storage. given_up: the part of the finish that died too often to be begun
    again, with the cause. half_imported: its import is under way, or was cut off.
    """

    name: str
    storage: str
    trials: dict[str, int]
    causes: dict[str, int]
    best: dict[str, Any] | None
    running: list[dict[str, Any]]
    last_activity: str | None
    final: Finished | None = None
    elsewhere: list[Whereabouts] = field(default_factory=list)
    given_up: str | None = None
    half_imported: bool = False

    def to_json(self) -> dict[str, Any]:
        """The document of `status --json`."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The same for a person, in the person's language."""
        rows = [(translated(name), translated(value)) for name, value in self._rows()]
        return [translated(f"Study {self.name}"), *in_columns(rows)]

    def line(self) -> str:
        """The same in one line, in the person's language."""
        best = f"best {self.best['value']:.4f} (trial {self.best['number']})" if self.best else "no best yet"
        counts = _counts(self.trials) or translated("no trials yet")
        if self.half_imported:
            counts = f"{translated('half imported')}; {counts}"
        return f"{self.name}: {counts}; {translated(best)}; {self.storage}"

    def _rows(self) -> list[tuple[str, str]]:
        rows = [("Storage", self.storage), ("Trials", _counts(self.trials) or "none yet")]
        causes = {cause: number for cause, number in self.causes.items() if cause not in self.trials}
        if causes:
            rows.append(("Not complete", _counts(causes)))
        rows.append(("Best", _one(self.best) if self.best else "none yet"))
        rows += [("Running", _one(trial)) for trial in self.running]
        rows += self.final.rows() if self.final else self._elsewhere_rows() or [("Final model", "none yet")]
        if self.given_up is not None and not self.elsewhere:
            told = f"given up: {self.given_up}; cp-search retrain {self.name} tries it once more"
            rows.append(("", told))
        return [*rows, ("Last activity", self.last_activity or "none yet")]

    def _elsewhere_rows(self) -> list[tuple[str, str]]:
        return [("Final model", f"made on {one.host}: {one.model_dir}") for one in self.elsewhere]


def status_of(seen: Sight) -> StudyStatus:
    """Where a study stands that was looked at."""
    complete = [trial for trial in seen.trials if trial.state == "complete"]
    running = [trial for trial in seen.trials if trial.state == "running"]
    best = best_of(complete)
    final = read_finished(seen.directory)
    return StudyStatus(
        name=seen.name,
        storage=seen.place,
        trials=_count(trial.state for trial in seen.trials),
        causes=_count(trial.cause for trial in seen.trials if trial.cause is not None),
        best=_summary(best, value=best.value) if best else None,
        running=[_summary(trial, value=trial.last_report) for trial in running],
        last_activity=_last_activity(seen.trials),
        final=final,
        elsewhere=[] if final else there(seen.attributes, directory=seen.directory),
        given_up=read_given_up(seen.directory),
        half_imported=has_mark(seen.attributes),
    )


def look_at(name: str, studies_dir: Path, storage_url: str | None) -> StudyStatus:
    """Where the study called `name` stands now.

    Raises:
        UserError, StorageFault: as `Catalog.find`.
    """
    if storage_url is None and not (studies_dir / RENAMING).exists():
        for seen in seen_in_file(studies_dir / f"{name}.db") or []:
            if seen.name == name and not has_mark(seen.attributes):
                return status_of(seen)
    # Elsewhere, or not to be shown: Optuna finds it, or the catalog says why not.
    from search.catalog import Catalog

    return status_of(Catalog(studies_dir, storage_url).find(name).sight())


def look_at_all(studies_dir: Path, storage_url: str | None) -> tuple[list[StudyStatus], list[CpSearchError]]:
    """Where every study stands now; and what is wrong with each file that cannot be read.

    Raises:
        UserError, StorageFault: the one storage cannot be read.
    """
    if storage_url is not None:
        return _by_optuna(studies_dir, storage_url), []
    found: list[StudyStatus] = []
    wrong: list[CpSearchError] = []
    for path in sqlite_files(studies_dir):
        seen = seen_in_file(path)
        try:
            found += _by_optuna(studies_dir, path) if seen is None else map(status_of, seen)
        except (UserError, StorageFault) as error:
            wrong.append(error)
    return found, wrong


def _by_optuna(studies_dir: Path, source: str | Path) -> list[StudyStatus]:
    """Of every study of a storage, or of a file."""
    from search.catalog import Catalog

    if isinstance(source, str):
        entries = Catalog(studies_dir, source).entries()
    else:
        entries = Catalog(studies_dir).in_file(source)
    return [status_of(entry.sight()) for entry in entries]


def _count(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words))


def _summary(trial: SeenTrial, *, value: float | None) -> dict[str, Any]:
    return {"number": trial.number, "value": value, "params": dict(trial.params)}


def _last_activity(trials: list[SeenTrial]) -> str | None:
    latest: datetime | None = max((moment for trial in trials for moment in trial.times), default=None)
    return latest.isoformat(timespec="seconds") if latest else None


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{number} {translated(word)}" for word, number in found.items())


def _one(trial: dict[str, Any]) -> str:
    value = f"{trial['value']:.4f}" if trial["value"] is not None else "not evaluated yet"
    return f"trial {trial['number']}: {value} ({values_line(trial['params'])})"
