from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
)

from trainer.data.tasks import Task
from trainer.metrics import MASKED, Ints, Scores, score

THREE = Task("toxicity", ("none", "toxic", "severe"), 1.0)
TWO = Task("rude", ("no", "yes"), 0.5)
PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60)


def column(values: list[int]) -> Ints:
    return np.array(values, dtype=np.int64)[:, None]


def scored(predicted: list[int], labels: list[int]) -> Scores:
    return score(column(predicted), column(labels), tasks=[THREE])


@given(PAIRS)
def test_scores_are_those_of_scikit_learn_over_the_classes_that_occur(pairs: list[tuple[int, int]]) -> None:
    predicted, labels = map(list, zip(*pairs, strict=True))
    found = scored(predicted, labels)
    expected = f1_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0)
    assert found.f1_macro == pytest.approx(expected, abs=1e-12)
    assert found.accuracy == pytest.approx(accuracy_score(labels, predicted))
    task = found.tasks[0]
    each = f1_score(labels, predicted, labels=[0, 1, 2], average=None, zero_division=0)
    assert task.f1_C == pytest.approx(each)
    assert (task.confusion_CC == confusion_matrix(labels, predicted, labels=[0, 1, 2])).all()


@given(PAIRS)
def test_the_other_scores_are_scikit_learns_too(pairs: list[tuple[int, int]]) -> None:
    predicted, labels = map(list, zip(*pairs, strict=True))
    found = scored(predicted, labels).tasks[0]
    precision, recall, _, support = precision_recall_fscore_support(
        labels, predicted, labels=[0, 1, 2], zero_division=0
    )
    assert found.precision_C == pytest.approx(precision)
    assert found.recall_C == pytest.approx(recall)
    assert (found.support_C == support).all()
    weighted = f1_score(labels, predicted, average="weighted", zero_division=0)
    assert found.f1_weighted == pytest.approx(weighted)
    assert found.mcc == pytest.approx(matthews_corrcoef(labels, predicted), abs=1e-9)


def test_a_class_nobody_carries_is_not_averaged_even_if_it_is_predicted() -> None:
    assert scored([0, 1, 0, 1], [0, 1, 0, 1]).f1_macro == 1.0
    wrongly_severe = scored([0, 1, 0, 2], [0, 1, 0, 1]).f1_macro
    assert wrongly_severe == pytest.approx((1.0 + 2 / 3) / 2)


def test_masked_rows_do_not_count() -> None:
    assert scored([0, 1, 2, 2], [0, 1, MASKED, MASKED]).f1_macro == 1.0
    assert scored([0, 1, 2, 2], [0, 1, MASKED, MASKED]).tasks[0].rows == 2


def test_a_task_without_labels_scores_nothing_and_weighs_nothing() -> None:
    predicted_NT = np.array([[0, 0], [1, 1]])
    labels_NT = np.array([[0, MASKED], [1, MASKED]])
    found = score(predicted_NT, labels_NT, tasks=[THREE, TWO])
    assert found.tasks[1].f1_macro == 0.0
    assert found.f1_macro == 1.0
    assert found.accuracy == 1.0


def test_no_labels_at_all_score_zero() -> None:
    assert scored([0, 1], [MASKED, MASKED]).f1_macro == 0.0


def test_several_tasks_are_averaged_by_their_weight() -> None:
    predicted_NT = np.array([[0, 1], [1, 1], [1, 1]])
    labels_NT = np.array([[0, 0], [1, 0], [1, 1]])
    found = score(predicted_NT, labels_NT, tasks=[THREE, TWO])
    first, second = (task.f1_macro for task in found.tasks)
    assert first == 1.0
    assert second == pytest.approx(0.25)
    assert found.f1_macro == pytest.approx((1.0 * 1.0 + 0.5 * 0.25) / 1.5)


def test_flat_names_say_task_and_class() -> None:
    several = score(np.zeros((1, 2), np.int64), np.zeros((1, 2), np.int64), tasks=[THREE, TWO]).flat("eval")
    assert {"eval_f1_macro", "eval_accuracy", "eval_toxicity_f1_macro", "eval_rude_f1_yes"} <= several.keys()
    assert {"eval_f1_weighted", "eval_mcc", "eval_toxicity_mcc", "eval_rude_f1_weighted"} <= several.keys()
    assert "eval_toxicity_f1_macro" not in scored([0], [0]).flat("eval")
