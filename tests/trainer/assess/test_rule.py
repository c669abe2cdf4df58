from __future__ import annotations

import numpy as np
import pytest

from tests.trainer.assess.cases import TWO, skewed
from trainer.assess.calibration import calibration_error, fit_temperature
from trainer.assess.fit_rule import best_offsets, fit_rule
from trainer.assess.rule import Rule, TaskRule, answers, plain_rule, softmax
from trainer.data.tasks import Task
from trainer.metrics import MASKED, score


def test_offsets_that_help_out_of_fold_are_kept_and_raise_the_score_elsewhere() -> None:
    logits_NC, labels_NT = skewed(800, shift=1.0)
    rule = fit_rule(logits_NC, labels_NT, tasks=[TWO])
    assert rule.tasks[0].offsets_kept
    elsewhere_NC, truth_NT = skewed(800, shift=1.0, seed=1)
    plain, ruled = (
        score(answers(elsewhere_NC, one).labels_NT, truth_NT, tasks=[TWO]).f1_macro
        for one in (plain_rule([TWO]), rule)
    )
    assert ruled > plain + 0.02


def test_offsets_that_do_not_help_are_not_kept() -> None:
    logits_NC, labels_NT = skewed(400, shift=0.0)
    (found,) = fit_rule(logits_NC, labels_NT, tasks=[TWO]).tasks
    assert not found.offsets_kept
    assert found.offsets == [0.0, 0.0]
    assert "not kept" in found.reason


def test_a_class_too_rare_to_judge_gets_the_plain_argmax() -> None:
    logits_NC, labels_NT = skewed(100, shift=1.0)
    labels_NT[:] = 0
    labels_NT[:5] = 1
    (found,) = fit_rule(logits_NC, labels_NT, tasks=[TWO]).tasks
    assert (found.offsets, found.temperature, found.fitted_on) == ([0.0, 0.0], 1.0, 0)
    assert "fewer than 10 validation rows of 1" in found.reason


def test_rows_without_a_label_do_not_move_the_rule() -> None:
    logits_NC, labels_NT = skewed(400, shift=1.0)
    more_NC = np.concatenate([logits_NC, np.full((50, 2), 9.0)])
    masked_NT = np.concatenate([labels_NT, np.full((50, 1), MASKED)])
    assert fit_rule(more_NC, masked_NT, tasks=[TWO]) == fit_rule(logits_NC, labels_NT, tasks=[TWO])


def test_a_temperature_cools_what_is_too_sure() -> None:
    logits_NC, labels_NT = skewed(2000, shift=0.0)
    honest = fit_temperature(logits_NC, labels_NT[:, 0])
    assert fit_temperature(logits_NC * 5, labels_NT[:, 0]) == pytest.approx(5 * honest, rel=0.01)
    (found,) = fit_rule(logits_NC * 5, labels_NT, tasks=[TWO]).tasks
    assert found.temperature_kept
    assert found.ece_before is not None
    assert found.ece_after is not None
    assert found.ece_after < found.ece_before


def test_a_temperature_changes_no_label() -> None:
    logits_NC, _ = skewed(300, shift=0.3)
    warm = Rule([TaskRule("labels", ["0", "1"], [0.0, 0.0], temperature=3.0)])
    same = answers(logits_NC, warm).labels_NT == answers(logits_NC, plain_rule([TWO])).labels_NT
    assert same.all()


def test_the_calibration_error_of_a_coin_that_claims_certainty_is_a_half() -> None:
    shares_NC = np.tile([1.0, 0.0], (1000, 1))
    labels_N = np.arange(1000) % 2
    assert calibration_error(shares_NC, labels_N) == pytest.approx(0.5)
    assert calibration_error(np.tile([0.5, 0.5], (1000, 1)), labels_N) == pytest.approx(0.0)


def test_three_classes_are_searched_one_after_the_other() -> None:
    random = np.random.default_rng(3)
    labels_N = random.integers(0, 3, 900)
    logits_NC = np.eye(3)[labels_N] * 2 + random.normal(0, 0.8, (900, 3)) - np.array([1.5, 0.0, 0.0])
    offsets_C = best_offsets(logits_NC, labels_N)
    assert offsets_C.sum() == pytest.approx(0.0, abs=1e-9)
    assert offsets_C[0] > offsets_C[1:].max()


def test_the_tasks_of_a_model_have_rules_of_their_own() -> None:
    logits_NC, labels_NT = skewed(400, shift=1.0)
    other = Task("other", ("a", "b"))
    both_NC = np.concatenate([logits_NC, logits_NC - [[0.0, 2.0]]], axis=1)
    rule = fit_rule(both_NC, np.concatenate([labels_NT, labels_NT], axis=1), tasks=[TWO, other])
    assert [task.task for task in rule.tasks] == ["labels", "other"]
    found = answers(both_NC, rule)
    assert [part_NC.shape for part_NC in found.probabilities] == [(400, 2), (400, 2)]
    assert softmax(both_NC).sum(1) == pytest.approx(1.0)
