"""The loss of several tasks with missing labels, cut into micro-batches without changing its value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer.config.schema import ClassWeights
from trainer.metrics import MASKED

if TYPE_CHECKING:
    from trainer.data.tasks import Task


def class_weights(
    labels_NT: NDArray[np.int64], *, tasks: Sequence[Task], mode: ClassWeights
) -> list[list[float]]:
    """Loss weights per task and class from the training labels.

    balanced: rows / (classes * count), scikit-learn's rule over the classes that occur; sqrt: its
    square root. A class that does not occur weighs 1: no row will carry it.
    """
    weights = []
    for column, task in enumerate(tasks):
        known_N = labels_NT[:, column][labels_NT[:, column] != MASKED]
        counts_C = np.bincount(known_N, minlength=len(task.classes)).astype(float)
        present = max(1, int((counts_C > 0).sum()))
        balanced_C = np.where(counts_C > 0, known_N.size / (present * np.maximum(counts_C, 1)), 1.0)
        power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[mode]
        weights.append([float(w) for w in balanced_C**power])
    return weights


class MultiTaskLoss(nn.Module):
    """Sum over tasks of task weight × the class-weighted mean cross-entropy of labelled rows.

    The mean is over the *effective* batch: `totals` gives its denominators once, and every
    micro-batch divides its own sum by them, so the gradient does not depend on the cut.
    """

    def __init__(
        self, tasks: Sequence[Task], *, weights: Sequence[Sequence[float]], label_smoothing: float
    ) -> None:
        super().__init__()
        self.task_weights = [task.weight for task in tasks]
        self.label_smoothing = label_smoothing
        self._row_weights = [np.asarray(values, dtype=np.float64) for values in weights]
        for index, values in enumerate(weights):
            self.register_buffer(f"class_weights_{index}", torch.tensor(values, dtype=torch.float32))

    def totals(self, labels_BT: NDArray[np.int64]) -> list[float]:
        """Summed class weights of the labelled rows of an effective batch, one number per task.

        Takes host labels: a copy from the GPU here would stall every step.
        """
        return [
            float(weights_C[labels_B[labels_B != MASKED]].sum())
            for weights_C, labels_B in zip(self._row_weights, labels_BT.T, strict=True)
        ]

    def forward(self, logits: Sequence[Tensor], labels_BT: Tensor, totals: Sequence[float]) -> Tensor:
        """This micro-batch's share of the effective batch's loss (a scalar)."""
        loss = logits[0].new_zeros((), dtype=torch.float32)
        for index, logits_BC in enumerate(logits):
            if totals[index] > 0:
                summed = F.cross_entropy(
                    logits_BC.float(),
                    labels_BT[:, index],
                    weight=self._weights(index),
                    ignore_index=MASKED,
                    reduction="sum",
                    label_smoothing=self.label_smoothing,
                )
                loss = loss + summed * (self.task_weights[index] / totals[index])
        return loss

    def _weights(self, index: int) -> Tensor:
        weights_C: Tensor = self.get_buffer(f"class_weights_{index}")
        return weights_C
