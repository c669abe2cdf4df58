"""Intervals by resampling rows, the same rows for every model, so that differences are paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainer.assess.interval import Interval
from trainer.metrics import MASKED

if TYPE_CHECKING:
    from trainer.data.tasks import Task

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: enough that the ends of a 95% interval move by about a twentieth of its width between seeds
RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Draws:
    """How rows are drawn: with replacement, `count` times all of them, from `seed` alone."""

    count: int = RESAMPLES
    seed: int = 0

    @property
    def method(self) -> str:
        """In words that can be quoted beside the numbers."""
        return f"percentile bootstrap over rows, {self.count} resamples, seed {self.seed}"

    def interval(self, value: float, resampled_R: Floats) -> Interval:
        """`value` with the middle 95% of what it was in the resamples."""
        tail = 100 * (1 - LEVEL) / 2
        low, high = np.percentile(resampled_R, [tail, 100 - tail])
        return Interval(value, float(low), float(high), LEVEL, self.method)


@dataclass(frozen=True)
class Resampled:
    """Scores of one set of predictions in every resample.

    confusions: for each task [R, C, C], true class first. weights: of the tasks in the mean.
    """

    confusions: tuple[Ints, ...]
    weights: tuple[float, ...]

    @property
    def f1_macro_R(self) -> Floats:
        """Task-weighted mean of macro-F1, as `trainer.metrics` has it."""
        return self._mean([task_macro(confusion_RCC) for confusion_RCC in self.confusions])

    @property
    def accuracy_R(self) -> Floats:
        """Task-weighted mean accuracy."""
        return self._mean([task_accuracy(confusion_RCC) for confusion_RCC in self.confusions])

    @cached_property
    def _weights_RT(self) -> Floats:
        rows_TR = [confusion_RCC.sum((1, 2)) for confusion_RCC in self.confusions]
        weights = [weight * (rows_R > 0) for weight, rows_R in zip(self.weights, rows_TR, strict=True)]
        return np.stack(weights, axis=1)

    def _mean(self, values: Sequence[Floats]) -> Floats:
        total_R = np.maximum(self._weights_RT.sum(1), 1e-12)
        mean_R: Floats = (np.stack(values, axis=1) * self._weights_RT).sum(1) / total_R
        return mean_R


def resample(predicted_NT: Ints, labels_NT: Ints, *, tasks: Sequence[Task], draws: Draws) -> Resampled:
    """Confusion matrices of the predictions in every resample; the same draws take the same rows."""
    cells = [_cells(predicted_NT[:, t], labels_NT[:, t], len(task.classes)) for t, task in enumerate(tasks)]
    found = [np.empty((draws.count, len(task.classes) ** 2 + 1), np.int64) for task in tasks]
    random = np.random.default_rng(draws.seed)
    rows = len(labels_NT)
    for index in range(draws.count):
        drawn_N = random.integers(0, rows, rows)
        for cells_N, counts_RK in zip(cells, found, strict=True):
            counts_RK[index] = np.bincount(cells_N[drawn_N], minlength=counts_RK.shape[1])
    shaped = (
        counts_RK[:, :-1].reshape(-1, len(task.classes), len(task.classes))
        for counts_RK, task in zip(found, tasks, strict=True)
    )
    return Resampled(tuple(shaped), tuple(task.weight for task in tasks))


def class_f1(confusion_RCC: Ints) -> Floats:
    """F1 of every class in every resample, [R, C]."""
    hits_RC = np.diagonal(confusion_RCC, axis1=1, axis2=2)
    total_RC = confusion_RCC.sum(1) + confusion_RCC.sum(2)
    f1_RC: Floats = 2 * hits_RC / np.maximum(total_RC, 1)
    return f1_RC


def task_macro(confusion_RCC: Ints) -> Floats:
    """Mean F1 over the classes that occur in the labels of the resample, [R]."""
    present_RC = confusion_RCC.sum(2) > 0
    macro_R: Floats = (class_f1(confusion_RCC) * present_RC).sum(1) / np.maximum(present_RC.sum(1), 1)
    return macro_R


def task_accuracy(confusion_RCC: Ints) -> Floats:
    """Share of labelled rows that are right, [R]."""
    hits_R = np.diagonal(confusion_RCC, axis1=1, axis2=2).sum(1)
    accuracy_R: Floats = hits_R / np.maximum(confusion_RCC.sum((1, 2)), 1)
    return accuracy_R


def wilson(hits: int, rows: int) -> Interval:
    """A share with Wilson's interval (E. B. Wilson, 1927), which holds near 0 and 1 as well."""
    z = 1.959963984540054  # of the normal distribution, two-sided 95%
    share = hits / max(1, rows)
    if rows == 0:
        return Interval(share, method="no rows")
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    low, high = max(0.0, float(middle - half)), min(1.0, float(middle + half))
    return Interval(share, low, high, LEVEL, "Wilson score interval")


def _cells(predicted_N: Ints, labels_N: Ints, size: int) -> Ints:
    """Cell of the confusion matrix of each row; one more cell for rows without a label."""
    cells_N: Ints = np.where(labels_N == MASKED, size * size, labels_N * size + predicted_N)
    return cells_N
