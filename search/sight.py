"""What is seen of a study, and seen in an SQLite file by the standard library alone.

Only for commands that look and must start at once (docs/decisions/0049). Whatever is not exactly as
expected in the file is left to Optuna, and to the messages of `search.catalog`.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

#: of Optuna's tables, as `optuna/storages/_rdb/models.py` has them; another schema is left to Optuna
_SCHEMA = 12
#: a glance waits for a writer so long; Optuna, which is asked next, waits longer
_LOOK_TIMEOUT_S = 1
#: how Optuna stores the numbers that SQL has none for
_INFINITE = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}
#: what a file comes to that does not read as expected
_UNEXPECTED = (sqlite3.Error, OSError, ValueError, LookupError, TypeError)


@dataclass(frozen=True)
class SeenTrial:
    """state: in lower case. value: its objective. last_report: of its objective, while it ran.

    cause: why it is not complete. params: of the complete and the running. times: of start and end, naive
    local time.
    """

    number: int
    state: str
    value: float | None
    last_report: float | None
    cause: str | None
    params: Mapping[str, Any]
    times: tuple[datetime, ...]


@dataclass(frozen=True)
class Sight:
    """A study. place: its storage as it may be shown. directory: of its trials, if they are on this machine.

    attributes: its system attributes. trials: by number.
    """

    name: str
    place: str
    directory: Path
    attributes: Mapping[str, Any]
    trials: list[SeenTrial] = field(repr=False)


def seen_in_file(path: Path) -> list[Sight] | None:
    """The studies of an SQLite file that is there, by name; None: Optuna should look."""
    try:
        with _opened(path) as database:
            return [_study(database, path, name=name, study=study) for name, study in _studies(database)]
    except _UNEXPECTED:
        return None


def names_in_file(path: Path) -> list[str]:
    """The names of the studies of an SQLite file; none where Optuna should look."""
    try:
        with _opened(path) as database:
            return [name for name, _ in _studies(database)]
    except _UNEXPECTED:
        return []


def sqlite_files(studies_dir: Path) -> list[Path]:
    """The `*.db` files of a directory that begin as an SQLite database does, by name."""
    return [path for path in sorted(studies_dir.glob("*.db")) if _is_sqlite(path)]


def _is_sqlite(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(16) == b"SQLite format 3\0"  # https://www.sqlite.org/fileformat.html


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """One moment of the file; nothing is written, and no file is made. Raises ValueError: another schema."""
    uri = f"{path.resolve().as_uri()}?mode=rw"  # A reader takes back what a dead writer left half done.
    with closing(sqlite3.connect(uri, uri=True, timeout=_LOOK_TIMEOUT_S, isolation_level=None)) as database:
        database.execute("BEGIN")
        if _rows(database, "SELECT schema_version FROM version_info") != [(_SCHEMA,)]:
            raise ValueError("another schema")
        yield database


def _rows(database: sqlite3.Connection, query: str, *of: int) -> list[tuple[Any, ...]]:
    return database.execute(query, of).fetchall()


def _studies(database: sqlite3.Connection) -> list[tuple[str, int]]:
    return _rows(database, "SELECT study_name, study_id FROM studies ORDER BY study_name")


def _study(database: sqlite3.Connection, path: Path, *, name: str, study: int) -> Sight:
    if len(_rows(database, "SELECT 1 FROM study_directions WHERE study_id = ?", study)) != 1:
        raise ValueError("a study of several objectives")
    kept = "SELECT key, value_json FROM study_system_attributes WHERE study_id = ?"
    attributes = {key: json.loads(value) for key, value in _rows(database, kept, study)}
    place = f"sqlite:///{quote(str(path), safe=' +/')}"  # as SQLAlchemy writes a URL
    return Sight(name, place, path.parent / name, attributes, _trials(database, study))


def _trials(database: sqlite3.Connection, study: int) -> list[SeenTrial]:
    def told(table: str, columns: str, ending: str = "") -> list[tuple[Any, ...]]:
        """Rows of what the study's trials have told, beginning with the trial."""
        query = f"SELECT trial_id, {columns} FROM {table} JOIN trials USING (trial_id) WHERE study_id = ?"
        return _rows(database, f"{query} {ending}", study)

    values = _numbers(told("trial_values", "value, value_type"))
    reports = _numbers(
        told("trial_intermediate_values", "intermediate_value, intermediate_value_type", "ORDER BY step")
    )
    causes = dict(told("trial_user_attributes", "value_json", "AND key = 'cause'"))
    params: dict[int, dict[str, Any]] = {}
    shown = "AND state IN ('COMPLETE', 'RUNNING') ORDER BY param_id"
    for trial, key, *stored in told("trial_params", "param_name, param_value, distribution_json", shown):
        params.setdefault(trial, {})[key] = _external(*stored)
    own = "SELECT trial_id, number, state, datetime_start, datetime_complete FROM trials WHERE study_id = ?"
    return [
        SeenTrial(
            number=number,
            state=state.lower(),
            value=values.get(trial),
            last_report=reports.get(trial),
            cause=json.loads(causes.get(trial, "null")),
            params=params.get(trial, {}),
            times=tuple(_local(time) for time in times if time),
        )
        for trial, number, state, *times in _rows(database, f"{own} ORDER BY number", study)
    ]


def _numbers(rows: list[tuple[int, float, str]]) -> dict[int, float]:
    """trial -> its value, the last of several."""
    return {trial: value if kind == "FINITE" else _INFINITE[kind] for trial, value, kind in rows}


def _external(value: float, distribution: str) -> Any:
    """A parameter's value as it was suggested, see Optuna's `to_external_repr`."""
    found = json.loads(distribution)
    if found["name"] == "CategoricalDistribution":
        return found["attributes"]["choices"][int(value)]
    return int(value) if found["name"] == "IntDistribution" else float(value)


def _local(stored: str) -> datetime:
    """Optuna stores naive UTC, and shows naive local time."""
    return datetime.fromisoformat(stored).replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
