"""What a run says of each validation row, for `experiment.save_predictions`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.assess.rule import softmax, split_logits
from trainer.metrics import MASKED

if TYPE_CHECKING:
    from trainer.data.splits import Rows
    from trainer.data.tasks import Task


def prediction_lines(rows: Rows, logits_NC: NDArray[np.float32], *, tasks: Sequence[Task]) -> Iterator[str]:
    """One JSON object a row: its text, and under each task's field the true class (null: no label), the
    predicted one, and every class's probability."""
    parts = split_logits(logits_NC.astype(np.float64), [len(task.classes) for task in tasks])
    shares = [softmax(part_NC) for part_NC in parts]
    for index, text in enumerate(rows.table.texts):
        said = {
            task.field: _said(task, int(rows.labels_NT[index, column]), part_NC[index])
            for column, (task, part_NC) in enumerate(zip(tasks, shares, strict=True))
        }
        yield json.dumps({"text": text, **said}, ensure_ascii=False)


def _said(task: Task, label: int, shares_C: NDArray[np.floating[Any]]) -> dict[str, Any]:
    return {
        "true": None if label == MASKED else task.classes[label],
        "predicted": task.classes[int(shares_C.argmax())],
        "probabilities": dict(zip(task.classes, np.round(shares_C, 6).tolist(), strict=True)),
    }
