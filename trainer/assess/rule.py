"""The decision rule of a model: how its logits become probabilities and labels.

For each task: probabilities = softmax((logits + offsets) / temperature), label = the most probable
class. The offsets move decisions, the temperature moves only how sure they sound. Both are affine in the
logits, so an export can carry them in its last layer, and plain transformers decides the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.assess.interval import Interval

if TYPE_CHECKING:
    from trainer.data.tasks import Task

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class TaskRule:
    """One task's part of the rule. Offsets of 0 and a temperature of 1 are the plain argmax.

    classes, offsets: in label order; offsets are added to the logits and average 0.
    fitted_on: validation rows it was fitted on (0: not fitted).
    offsets_kept, temperature_kept: False where the fitted ones did not help out of fold, and so are not used.
    f1_before, f1_after: macro-F1 of plain argmax, and of offsets fitted out of fold, on validation; gain:
    their paired difference. ece_before, ece_after: expected calibration error, likewise out of fold.
    reason: why it is as it is, one line for a person.
    """

    task: str
    classes: list[str]
    offsets: list[float]
    temperature: float = 1.0
    fitted_on: int = 0
    folds: int = 0
    offsets_kept: bool = False
    temperature_kept: bool = False
    f1_before: float | None = None
    f1_after: float | None = None
    gain: Interval | None = None
    ece_before: float | None = None
    ece_after: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Rule:
    """The rules of all tasks, in the order of the model's logits."""

    tasks: list[TaskRule] = field(default_factory=list)


def plain_rule(tasks: Sequence[Task], *, reason: str = "not fitted") -> Rule:
    """Softmax and argmax of the logits as they are."""
    return Rule(
        [TaskRule(task.name, list(task.classes), [0.0] * len(task.classes), reason=reason) for task in tasks]
    )


def split_logits(logits_NC: Floats, sizes: Sequence[int]) -> list[Floats]:
    """The logits of each task, cut out of those of the whole model."""
    return np.split(logits_NC, np.cumsum(sizes)[:-1], axis=1)


def ruled_logits(logits_NC: Floats, rule: Rule) -> Floats:
    """(logits + offsets) / temperature, task by task: what a folded export gives as its logits."""
    shift_C = np.concatenate([np.asarray(task.offsets, np.float64) for task in rule.tasks])
    scale_C = np.concatenate([np.full(len(task.classes), task.temperature) for task in rule.tasks])
    ruled_NC: Floats = (np.asarray(logits_NC, np.float64) + shift_C) / scale_C
    return ruled_NC


def softmax(logits_NC: Floats) -> Floats:
    """Rows that sum to 1."""
    powers_NC = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    shares_NC: Floats = powers_NC / powers_NC.sum(axis=1, keepdims=True)
    return shares_NC


@dataclass(frozen=True)
class Answers:
    """What a model says of rows: class numbers [N, T], and for each task the probabilities [N, C]."""

    labels_NT: NDArray[np.int64]
    probabilities: tuple[Floats, ...]


def answers(logits_NC: Floats, rule: Rule) -> Answers:
    """Labels and probabilities of logits by `rule`."""
    parts = split_logits(ruled_logits(logits_NC, rule), [len(task.classes) for task in rule.tasks])
    probabilities = tuple(softmax(part_NC) for part_NC in parts)
    return answers_of(probabilities)


def answers_of(probabilities: Sequence[Floats]) -> Answers:
    """The most probable class of every task."""
    labels_NT = np.stack([part_NC.argmax(1) for part_NC in probabilities], axis=1).astype(np.int64)
    return Answers(labels_NT, tuple(probabilities))
