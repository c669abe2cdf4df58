"""Scores of parts of the rows: by every extra column of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.assess.assessment import Slice
from trainer.assess.bootstrap import wilson
from trainer.metrics import score

if TYPE_CHECKING:
    from trainer.data.read import Table
    from trainer.data.tasks import Task

#: a column with more values is no grouping
MOST_VALUES = 20


@dataclass(frozen=True)
class Cut:
    """Columns to cut by, each with the rows of its values; and the columns that are no grouping, with why."""

    columns: dict[str, dict[str, NDArray[np.int64]]]
    left_out: list[str]


def cut(table: Table, *, tasks: Sequence[Task]) -> Cut:
    """The extra columns of `table`: neither the text nor a label."""
    own = {"text", *(task.field for task in tasks)}
    columns, left_out = {}, []
    for name in sorted(table.fields - own):
        values = [row.get(name) for row in table.rows]
        why = _no_grouping(values)
        if why:
            left_out.append(f"{name}: {why}")
        else:
            columns[name] = _groups(values)
    return Cut(columns, left_out)


def slices(
    predicted_NT: NDArray[np.int64], labels_NT: NDArray[np.int64], *, tasks: Sequence[Task], cut: Cut
) -> list[Slice]:
    """Every value of every column, for every task that has labels there; largest first in a column."""
    return [
        found
        for column, groups in cut.columns.items()
        for value, rows in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
        for found in _of_group(predicted_NT[rows], labels_NT[rows], tasks=tasks, at=(column, value))
    ]


def _of_group(
    predicted_NT: NDArray[np.int64],
    labels_NT: NDArray[np.int64],
    *,
    tasks: Sequence[Task],
    at: tuple[str, str],
) -> Iterator[Slice]:
    scores = score(predicted_NT, labels_NT, tasks=tasks)
    for task, scored in zip(tasks, scores.tasks, strict=True):
        if not scored.rows:
            continue
        confusion_CC = scored.confusion_CC
        flagged = int(confusion_CC[:, 1:].sum())
        yield Slice(
            column=at[0],
            value=at[1],
            task=task.name,
            rows=scored.rows,
            labels=dict(zip(task.classes, confusion_CC.sum(1).tolist(), strict=True)),
            predicted=dict(zip(task.classes, confusion_CC.sum(0).tolist(), strict=True)),
            accuracy=wilson(int(np.trace(confusion_CC)), scored.rows),
            f1_macro=scored.f1_macro,
            flagged=wilson(flagged, scored.rows),
        )


def _groups(values: Sequence[Any]) -> dict[str, NDArray[np.int64]]:
    names = np.array([_name(value) for value in values])
    return {str(name): np.flatnonzero(names == name) for name in np.unique(names)}


def _name(value: Any) -> str:
    return "(missing)" if value is None else str(value)


def _no_grouping(values: Sequence[Any]) -> str:
    """Why a column cannot be cut by; empty when it can."""
    if any(isinstance(value, list | dict | float) for value in values):
        return "not categories"
    counts = Counter(map(_name, values))
    if len(counts) < 2:
        return "one value only"
    return f"{len(counts)} values" if len(counts) > MOST_VALUES else ""
