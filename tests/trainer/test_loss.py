from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

from trainer.config.schema import ClassWeights
from trainer.data.tasks import Task
from trainer.loss import MultiTaskLoss, class_weights
from trainer.metrics import MASKED

THREE = Task("toxicity", ("none", "toxic", "severe"), 1.0)
TWO = Task("rude", ("no", "yes"), 0.5)
LABELS_NT = np.array([[0], [0], [0], [0], [1], [1], [2], [MASKED]])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_it_is_torchs_weighted_mean_over_labelled_rows_times_the_task_weight(smoothing: float) -> None:
    labels_BT = np.array([[0, 1], [1, MASKED], [2, 0], [MASKED, 1]])
    weights = [[1.0, 2.0, 3.0], [1.0, 0.5]]
    loss = MultiTaskLoss([THREE, TWO], weights=weights, label_smoothing=smoothing)
    torch.manual_seed(0)
    logits = [torch.randn(4, 3), torch.randn(4, 2)]
    found = loss(logits, torch.from_numpy(labels_BT), loss.totals(labels_BT))
    expected = sum(
        task.weight
        * F.cross_entropy(
            logits[index],
            torch.from_numpy(labels_BT[:, index]),
            weight=torch.tensor(weights[index]),
            label_smoothing=smoothing,
        )
        for index, task in enumerate([THREE, TWO])
    )
    torch.testing.assert_close(found, torch.as_tensor(expected))


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    labels_BT = np.array([[0], [1], [2], [MASKED], [1]])
    loss = MultiTaskLoss([THREE], weights=[[1.0, 2.0, 3.0]], label_smoothing=0.1)
    logits = torch.randn(5, 3)
    totals = loss.totals(labels_BT)
    whole = loss([logits], torch.from_numpy(labels_BT), totals)
    parts = [
        loss([logits[cut]], torch.from_numpy(labels_BT[cut]), totals) for cut in (slice(0, 1), slice(1, 5))
    ]
    torch.testing.assert_close(sum(parts), whole)


def test_a_batch_without_any_label_costs_nothing_and_is_no_nan() -> None:
    labels_BT = np.array([[MASKED], [MASKED]])
    loss = MultiTaskLoss([THREE], weights=[[1.0, 1.0, 1.0]], label_smoothing=0.0)
    assert float(loss([torch.randn(2, 3)], torch.from_numpy(labels_BT), loss.totals(labels_BT))) == 0.0


def test_balanced_weights_are_scikit_learns_and_sqrt_their_root() -> None:
    known = LABELS_NT[LABELS_NT != MASKED]
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 2]), y=known)
    assert class_weights(LABELS_NT, tasks=[THREE], mode="balanced")[0] == pytest.approx(expected)
    assert class_weights(LABELS_NT, tasks=[THREE], mode="sqrt")[0] == pytest.approx(expected**0.5)
    assert class_weights(LABELS_NT, tasks=[THREE], mode="none")[0] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("mode", ["none", "sqrt", "balanced"])
def test_a_class_that_does_not_occur_weighs_one(mode: ClassWeights) -> None:
    weights = class_weights(np.array([[0], [0], [1]]), tasks=[THREE], mode=mode)[0]
    assert weights[2] == 1.0
    assert np.isfinite(weights).all()
