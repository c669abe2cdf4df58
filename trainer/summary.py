"""What `training_summary.json` holds of every kind of run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from trainer.data.content import fingerprint

if TYPE_CHECKING:
    from trainer.data.splits import RowSet


@dataclass(frozen=True)
class Result:
    """What a complete run came to.

    best_evaluation: its number, None: none was made; best_metrics, validation: measured there, as scalars and
    in full. test: scores of the test rows, empty: there are none.
    """

    steps: int
    seconds: float
    best_evaluation: int | None
    best_metrics: Mapping[str, float]
    validation: Mapping[str, Any]
    test: Mapping[str, Any] = field(default_factory=dict)


def summary_of(result: Result, rows: RowSet) -> dict[str, Any]:
    """`result`, the tasks it is about, and the files it was reached with."""
    return {
        "status": "completed",
        **asdict(result),
        "test": result.test or None,
        "tasks": {task.name: list(task.classes) for task in rows.tasks},
        "task_weights": {task.name: task.weight for task in rows.tasks},
        "data": _data(rows),
    }


def _data(rows: RowSet) -> dict[str, dict[str, Any]]:
    files = {"train": rows.train, "val": rows.val, "test": rows.test}
    return {
        name: {
            "path": str(found.table.path),
            "rows": len(found.table),
            "sha256": fingerprint(found.table.path),
        }
        for name, found in files.items()
        if found is not None
    }
