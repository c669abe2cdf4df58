"""Scores of an evaluation: per task, per class, and the one number the search maximises.

The rule for an absent class: macro-F1 of a task is the mean of F1 over the classes that occur in
the evaluation's labels. A class nobody carries has no F1 of its own (predicting it costs the true
classes their recall), so the number of classes averaged never depends on the predictions and two
trials are always comparable. In scikit-learn's words:
`f1_score(y, p, labels=unique(y), average="macro", zero_division=0)`.

`eval_f1_macro` of several tasks is the mean of their macro-F1 weighted by task weight, over the
tasks that have at least one label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from trainer.data.tasks import Task

#: label of a row that has none for a task; excluded from loss and scores
MASKED = -100

#: what is measured of each task, and as the mean of all
MEANS = ("f1_macro", "accuracy", "f1_weighted", "mcc")

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class TaskScores:
    """One task: confusion_CC[true, predicted], and what follows from it."""

    name: str
    classes: tuple[str, ...]
    confusion_CC: Ints

    @property
    def rows(self) -> int:
        """Labelled rows."""
        return int(self.confusion_CC.sum())

    @property
    def accuracy(self) -> float:
        """Share of labelled rows predicted right; 0 where there are none."""
        return float(np.trace(self.confusion_CC)) / max(1, self.rows)

    @property
    def f1_C(self) -> NDArray[np.float64]:
        """F1 per class; 0 where a class was neither labelled nor predicted."""
        hits_C = np.diag(self.confusion_CC).astype(float)
        total_C = self.confusion_CC.sum(0) + self.confusion_CC.sum(1)
        f1_C: NDArray[np.float64] = 2 * hits_C / np.maximum(total_C, 1)
        return f1_C

    @property
    def f1_macro(self) -> float:
        """Mean F1 over the classes that occur in the labels; 0 where no row is labelled."""
        present_C = self.confusion_CC.sum(1) > 0
        return float(self.f1_C[present_C].mean()) if present_C.any() else 0.0

    @property
    def support_C(self) -> Ints:
        """Labelled rows per class."""
        support_C: Ints = self.confusion_CC.sum(1)
        return support_C

    @property
    def precision_C(self) -> NDArray[np.float64]:
        """Share of a class's predictions that are right; 0 where it was never predicted."""
        found_C: NDArray[np.float64] = np.diag(self.confusion_CC) / np.maximum(self.confusion_CC.sum(0), 1)
        return found_C

    @property
    def recall_C(self) -> NDArray[np.float64]:
        """Share of a class's rows that were found; 0 where no row carries it."""
        found_C: NDArray[np.float64] = np.diag(self.confusion_CC) / np.maximum(self.support_C, 1)
        return found_C

    @property
    def f1_weighted(self) -> float:
        """Mean F1 weighted by support; 0 where no row is labelled."""
        return float(self.f1_C @ self.support_C) / max(1, self.rows)

    @property
    def mcc(self) -> float:
        """Matthews' correlation of labels and predictions (Gorodkin 2004); 0 where either is constant."""
        confusion_CC = self.confusion_CC.astype(float)
        true_C, predicted_C, rows = confusion_CC.sum(1), confusion_CC.sum(0), confusion_CC.sum()
        together = np.trace(confusion_CC) * rows - true_C @ predicted_C
        spread = (rows**2 - true_C @ true_C) * (rows**2 - predicted_C @ predicted_C)
        return float(together / np.sqrt(spread)) if spread > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON: scores, those of each class, and the confusion matrix (rows: truth)."""
        each = {
            "f1": self.f1_C,
            "precision": self.precision_C,
            "recall": self.recall_C,
            "support": self.support_C,
        }
        return {
            "rows": self.rows,
            "f1_macro": self.f1_macro,
            "f1_weighted": self.f1_weighted,
            "accuracy": self.accuracy,
            "mcc": self.mcc,
            **{name: dict(zip(self.classes, values.tolist(), strict=True)) for name, values in each.items()},
            "confusion": self.confusion_CC.tolist(),
        }


@dataclass(frozen=True)
class Scores:
    """All tasks of one evaluation."""

    tasks: tuple[TaskScores, ...]
    weights: tuple[float, ...]

    @property
    def f1_macro(self) -> float:
        """Task-weighted mean of macro-F1 over the tasks that have labels."""
        return self._mean([task.f1_macro for task in self.tasks])

    @property
    def accuracy(self) -> float:
        """Task-weighted mean accuracy over the tasks that have labels."""
        return self._mean([task.accuracy for task in self.tasks])

    @property
    def f1_weighted(self) -> float:
        """Task-weighted mean of F1 weighted by support, over the tasks that have labels."""
        return self._mean([task.f1_weighted for task in self.tasks])

    @property
    def mcc(self) -> float:
        """Task-weighted mean of Matthews' correlation over the tasks that have labels."""
        return self._mean([task.mcc for task in self.tasks])

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the means and every task."""
        return {
            **{name: getattr(self, name) for name in MEANS},
            "tasks": {task.name: task.as_dict() for task in self.tasks},
        }

    def flat(self, prefix: str) -> dict[str, float]:
        """Scalars for logs: `eval_f1_macro`, and with several tasks `eval_toxicity_f1_macro`, …"""
        flat: dict[str, float] = {f"{prefix}_{name}": getattr(self, name) for name in MEANS}
        for task in self.tasks:
            if len(self.tasks) > 1:
                flat |= {f"{prefix}_{task.name}_{name}": getattr(task, name) for name in MEANS}
            flat |= {
                f"{prefix}_{task.name}_f1_{label}": float(value)
                for label, value in zip(task.classes, task.f1_C, strict=True)
            }
        return flat

    def _mean(self, values: Sequence[float]) -> float:
        labelled = [w if task.rows else 0.0 for w, task in zip(self.weights, self.tasks, strict=True)]
        return float(np.average(values, weights=labelled)) if any(labelled) else 0.0


def score(predicted_NT: Ints, labels_NT: Ints, *, tasks: Sequence[Task]) -> Scores:
    """Scores of predicted class numbers against labels; rows labelled `MASKED` do not count."""
    scored = []
    for column, task in enumerate(tasks):
        known_N = labels_NT[:, column] != MASKED
        size = len(task.classes)
        cells_N = labels_NT[known_N, column] * size + predicted_NT[known_N, column]
        confusion_CC = np.bincount(cells_N, minlength=size * size).reshape(size, size)
        scored.append(TaskScores(task.name, tuple(task.classes), confusion_CC.astype(np.int64)))
    return Scores(tuple(scored), tuple(task.weight for task in tasks))
