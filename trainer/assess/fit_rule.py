"""Fitting the decision rule on validation rows; what does not help out of fold is not kept.

Offsets are searched one class at a time for the best macro-F1, temperatures for the likeliest labels. Both
are fitted on all folds but one and judged on that one, so that no row judges what was fitted on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.assess.bootstrap import Draws, resample, task_macro
from trainer.assess.calibration import calibration_error, fit_temperature
from trainer.assess.interval import Interval
from trainer.assess.rule import Rule, TaskRule, softmax, split_logits
from trainer.metrics import MASKED, score

if TYPE_CHECKING:
    from trainer.data.tasks import Task

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

FOLDS = 5
#: fewer rows of a class than this say nothing about where its border should lie
FEWEST_PER_CLASS = 10
#: passes over the classes; the search ends earlier when a pass changes nothing
_PASSES = 3
#: borders tried for each class in each pass
_BORDERS = 64


def fit_rule(logits_NC: Floats, labels_NT: Ints, *, tasks: Sequence[Task], seed: int = 0) -> Rule:
    """The rule for a model that gave `logits_NC` on validation rows it was not trained on."""
    parts = split_logits(np.asarray(logits_NC, np.float64), [len(task.classes) for task in tasks])
    fitted = []
    for column, task in enumerate(tasks):
        known_N = labels_NT[:, column] != MASKED
        rows = _Rows(task, parts[column][known_N], labels_NT[known_N, column], seed)
        fitted.append(rows.rule())
    return Rule(fitted)


@dataclass(frozen=True)
class _Rows:
    """The labelled rows of one task."""

    task: Task
    logits_NC: Floats
    labels_N: Ints
    seed: int

    def rule(self) -> TaskRule:
        plain = TaskRule(self.task.name, list(self.task.classes), [0.0] * len(self.task.classes))
        counts_C = np.bincount(self.labels_N, minlength=len(self.task.classes))
        few = [
            name for name, count in zip(self.task.classes, counts_C, strict=True) if count < FEWEST_PER_CLASS
        ]
        if few:
            why = f"fewer than {FEWEST_PER_CLASS} validation rows of {', '.join(few)}: plain argmax"
            return replace(plain, reason=why)
        folds_N = _folds(self.labels_N, seed=self.seed)
        with_offsets = self._offsets(plain, folds_N)
        return self._temperature(with_offsets, folds_N)

    def _offsets(self, plain: TaskRule, folds_N: Ints) -> TaskRule:
        """`plain` with offsets if they help out of fold by more than noise."""
        moved_NC = self.logits_NC.copy()
        for fold in range(FOLDS):
            there_N = folds_N == fold
            moved_NC[there_N] += best_offsets(self.logits_NC[~there_N], self.labels_N[~there_N])
        before, after, gain = self._gain(moved_NC)
        kept = gain.above_noise
        offsets_C = best_offsets(self.logits_NC, self.labels_N) if kept else np.zeros(len(plain.classes))
        verdict = "kept" if kept else "not kept"
        return replace(
            plain,
            offsets=[float(offset) for offset in offsets_C],
            fitted_on=len(self.labels_N),
            folds=FOLDS,
            offsets_kept=kept,
            f1_before=before,
            f1_after=after,
            gain=gain,
            reason=f"offsets {verdict}: macro-F1 out of fold {before:.4f} -> {after:.4f}, gain {gain}",
        )

    def _temperature(self, rule: TaskRule, folds_N: Ints) -> TaskRule:
        """`rule` with a temperature if it lowers the calibration error out of fold."""
        logits_NC = self.logits_NC + np.asarray(rule.offsets)
        cooled_NC = logits_NC.copy()
        for fold in range(FOLDS):
            there_N = folds_N == fold
            cooled_NC[there_N] /= fit_temperature(logits_NC[~there_N], self.labels_N[~there_N])
        before = calibration_error(softmax(logits_NC), self.labels_N)
        after = calibration_error(softmax(cooled_NC), self.labels_N)
        kept = after < before
        temperature = fit_temperature(logits_NC, self.labels_N) if kept else 1.0
        words = f"temperature {temperature:.3f}" if kept else "temperature not kept"
        cooled = f"{words}: calibration error out of fold {before:.4f} -> {after:.4f}"
        return replace(
            rule,
            temperature=temperature,
            temperature_kept=kept,
            ece_before=before,
            ece_after=after,
            reason=f"{rule.reason}; {cooled}",
        )

    def _gain(self, moved_NC: Floats) -> tuple[float, float, Interval]:
        """Macro-F1 of plain argmax and of the moved logits, and the paired difference."""
        labels_N1 = self.labels_N[:, None]
        plain_N1, moved_N1 = self.logits_NC.argmax(1)[:, None], moved_NC.argmax(1)[:, None]
        draws = Draws(seed=self.seed)
        drawn = [
            task_macro(resample(found_N1, labels_N1, tasks=[self.task], draws=draws).confusions[0])
            for found_N1 in (plain_N1, moved_N1)
        ]
        before, after = (
            score(found_N1, labels_N1, tasks=[self.task]).f1_macro for found_N1 in (plain_N1, moved_N1)
        )
        return before, after, draws.interval(after - before, drawn[1] - drawn[0])


def best_offsets(logits_NC: Floats, labels_N: Ints) -> Floats:
    """Offsets, averaging 0, that give the best macro-F1 on these rows; of equals the smallest."""
    size = logits_NC.shape[1]
    offsets_C: Floats = np.zeros(size)
    best = _macro(logits_NC.argmax(1), labels_N, size)
    for _ in range(_PASSES):
        before = best
        for column in range(size):
            offsets_C, best = _best_border(logits_NC, labels_N, offsets_C=offsets_C, column=column)
        if best <= before:
            break
    centred_C: Floats = offsets_C - offsets_C.mean()
    return centred_C


def _best_border(
    logits_NC: Floats, labels_N: Ints, *, offsets_C: Floats, column: int
) -> tuple[Floats, float]:
    """`offsets_C` with the best offset for one class, given the others'."""
    size = logits_NC.shape[1]
    moved_NC = logits_NC + offsets_C
    others_NC = np.delete(moved_NC, column, axis=1)
    # How much the class lacks to be the label of a row: an offset beyond it changes that row's label.
    lacking_N = others_NC.max(1) - logits_NC[:, column]
    quantiles = np.quantile(lacking_N, np.linspace(0.01, 0.99, _BORDERS))
    rest_N = np.where(np.arange(size - 1) < column, np.arange(size - 1), np.arange(1, size))[
        others_NC.argmax(1)
    ]
    candidates = [float(offsets_C[column]), *sorted(quantiles.tolist(), key=abs)]
    scored = []
    for offset in candidates:
        predicted_N = np.where(offset > lacking_N, column, rest_N)
        scored.append(_macro(predicted_N, labels_N, size))
    best = int(np.argmax(scored))
    found_C = offsets_C.copy()
    found_C[column] = candidates[best]
    return found_C, scored[best]


def _macro(predicted_N: Ints, labels_N: Ints, size: int) -> float:
    confusion_CC = np.bincount(labels_N * size + predicted_N, minlength=size * size).reshape(1, size, size)
    return float(task_macro(confusion_CC)[0])


def _folds(labels_N: Ints, *, seed: int) -> Ints:
    """A fold for every row, each class spread evenly over them."""
    folds_N = np.empty(len(labels_N), np.int64)
    random = np.random.default_rng(seed)
    for label in np.unique(labels_N):
        rows = random.permutation(np.flatnonzero(labels_N == label))
        folds_N[rows] = np.arange(len(rows)) % FOLDS
    return folds_N
