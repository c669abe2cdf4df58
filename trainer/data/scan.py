"""A data file read to its end whatever is wrong with it: its good rows, and a fault for each other one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trainer.data.content import Content, find_content
from trainer.data.read import (
    MASKED,
    Labels,
    NotJson,
    Table,
    class_number,
    label_problem,
    read_lines,
    row_problem,
    table_of,
)
from trainer.data.tasks import Task
from trainer.errors import DataError

FaultKind = Literal["empty_text", "not_json", "bad_row", "bad_label"]


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

    Raises `DataError` for a file that cannot be read, for a broken JSON array, in which a row's end is not
    known, and for a file of which no line is JSON: it is something else.
    """
    content, faults = find_content(path), list[Fault]()
    table = table_of(content, pairs=_good(content, faults))
    if not len(table) and all(fault.kind == "not_json" for fault in faults):
        raise DataError(faults[0].message, file=path, line=faults[0].line)
    return Scan(table, content.encoding, tuple(faults))


def _good(content: Content, faults: list[Fault]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The good rows; the others are put into `faults` as they come."""
    for line, value in read_lines(content):
        if isinstance(value, NotJson):
            faults.append(Fault("not_json", line, value.problem, value.text))
            continue
        problem = row_problem(value)
        if problem is None:
            yield line, value
        else:
            faults.append(Fault("empty_text" if _is_empty(value) else "bad_row", line, problem, value))


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
