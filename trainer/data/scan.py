"""A data file read to its end whatever is wrong with it: its good rows, and a fault for each other one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trainer.data.read import (
    MASKED,
    Labels,
    Table,
    class_number,
    label_problem,
    parse_values,
    read_content,
    row_problem,
    table_of,
)
from trainer.data.tasks import Task

FaultKind = Literal["empty_text", "bad_row", "bad_label"]


@dataclass(frozen=True)
class Fault:
    """What keeps one row from being trained on; `line` counts from 1, `value` is the row as it stands."""

    kind: FaultKind
    line: int
    message: str
    value: Any = None


@dataclass(frozen=True)
class Scan:
    """One file: its good rows, its encoding, and what is wrong with the other rows, in order of lines."""

    table: Table
    encoding: str
    faults: tuple[Fault, ...]

    @property
    def rows(self) -> int:
        """Rows in the file, good and faulty."""
        return len(self.table) + len(self.faults)


def scan(path: Path) -> Scan:
    """Read every row of `path`.

    Raises `DataError` for a file that cannot be read or is not JSON: there a row's end is not known.
    """
    content = read_content(path)
    good, faults = [], []
    for line, value in parse_values(path, content.text):
        problem = row_problem(value)
        if problem is None:
            good.append((line, value))
        else:
            faults.append(Fault("empty_text" if _is_empty(value) else "bad_row", line, problem, value))
    return Scan(table_of(path, pairs=good, notes=content.notes), content.encoding, tuple(faults))


def scan_labels(table: Table, *, tasks: Sequence[Task]) -> tuple[Labels, tuple[Fault, ...]]:
    """Labels [N, T] as `label_matrix` gives them, and a fault, masked here, for each that is no class."""
    labels_NT = np.full((len(table), len(tasks)), MASKED, dtype=np.int64)
    faults = []
    for index, row in enumerate(table.rows):
        for column, task in enumerate(tasks):
            value = row.get(task.field)
            label = None if value is None else class_number(value, task=task)
            if label is not None:
                labels_NT[index, column] = label
            elif value is not None:
                faults.append(Fault("bad_label", table.lines[index], label_problem(value, task), row))
    return labels_NT, tuple(faults)


def _is_empty(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("text"), str) and not value["text"].strip()
