"""Which column of a foreign table is the text, which are labels, and what their values mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainer.data.read import class_number, label_problem
from trainer.data.tasks import BUILTIN, SINGLE, Task
from trainer.errors import UserError

_NUMBER = re.compile(r"-?\d+")
_BUILTIN_OF = {task.name: task for task in BUILTIN}


class BadCell(ValueError):
    """A cell that no label or text can be read from; the message says why, and the remedy."""


@dataclass(frozen=True)
class Columns:
    """The columns to read.

    labels: task -> column. values: task -> value in the file -> label; where a task has any, all its values
    must be among them. group: column kept as `group`, for a split that may not part its values.
    """

    text: str
    labels: Mapping[str, str]
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    group: str | None = None

    @property
    def named(self) -> tuple[str, ...]:
        """Every column that must be there."""
        return tuple(dict.fromkeys((self.text, *self.labels.values(), *([self.group] if self.group else []))))


def parse_columns(
    text: str, *, labels: Iterable[str], values: Iterable[str] = (), group: str | None = None
) -> Columns:
    """Columns from `task=column` and `task:from=to` as typed. Raises `UserError` for what is neither."""
    found: dict[str, str] = {}
    for setting in labels:
        task, equals, column = setting.partition("=")
        if not (task and equals and column):
            raise UserError(f"--label {setting}: write task=COLUMN, as in --label toxicity=label")
        if task in found:
            raise UserError(f"--label {setting}: {task} has a column already; give it once")
        found[task] = column
    _require_tasks(found)
    return Columns(text, found, _parsed_values(values, tasks=found), group)


def row_of(cells: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """The product's row for one record; a missing label is null, which masks it. Raises `BadCell`."""
    text = cells.get(columns.text)
    if not isinstance(text, str) or not text.strip():
        what = "is empty" if text is None or isinstance(text, str) else "is not text"
        raise BadCell(f"{columns.text} {what}; write the text or remove the row")
    row: dict[str, Any] = {"text": text}
    for task, column in columns.labels.items():
        row[_task(task).field] = _label(cells.get(column), task=task, columns=columns)
    if columns.group is not None:
        row["group"] = cells.get(columns.group)
    return row


def _require_tasks(labels: Mapping[str, str]) -> None:
    if not labels:
        raise UserError("--label: name at least one, as in --label toxicity=COLUMN or --label labels=COLUMN")
    if SINGLE in labels and len(labels) > 1:
        raise UserError(f"--label {SINGLE}=…: stands for the only task of a file; name the task instead")


def _parsed_values(settings: Iterable[str], *, tasks: Mapping[str, str]) -> dict[str, dict[str, str]]:
    values: dict[str, dict[str, str]] = {}
    for setting in settings:
        task, colon, pair = setting.partition(":")
        # The last "=": a value of the file may hold one, a label does not.
        before, equals, after = pair.rpartition("=")
        if not (task and colon and equals and after):
            raise UserError(f"--map {setting}: write task:FROM=TO, as in --map toxicity:offensive=toxic")
        if task not in tasks:
            raise UserError(f"--map {setting}: {task} has no column; add --label {task}=COLUMN")
        if values.setdefault(task, {}).setdefault(before, after) != after:
            raise UserError(f"--map {setting}: {before!r} is also mapped to {values[task][before]!r}")
    return values


def _task(name: str) -> Task:
    return _BUILTIN_OF.get(name, Task(name, ()))


def _label(value: Any, *, task: str, columns: Columns) -> int | str | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    written = value.strip() if isinstance(value, str) else _written(value, column=columns.labels[task])
    if task in columns.values:
        if written not in columns.values[task]:
            known = ", ".join(columns.values[task])
            raise BadCell(f"{columns.labels[task]} {written!r} is not mapped ({known}); add --map {task}:…=…")
        written = columns.values[task][written]
    label = int(written) if _NUMBER.fullmatch(written) else written
    known_task = _BUILTIN_OF.get(task)
    if known_task and class_number(label, task=known_task) is None:
        raise BadCell(f"{label_problem(label, known_task)} (or add --map {task}:{written}=CLASS)")
    return label


def _written(value: Any, *, column: str) -> str:
    """A JSON value as it would stand in a cell; 1.0 is 1, as spreadsheets write it."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    raise BadCell(f"{column} {value!r} is no label; write a number, a name, or null for none")
