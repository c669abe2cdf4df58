"""The decision rule of a model: how its logits become probabilities and labels.

For each task: probabilities = softmax((logits + offsets) / temperature), label = the most probable
class. The offsets move decisions, the temperature moves only how sure they sound. Both are affine in the
logits, so an export can carry them in its last layer, and plain transformers decides the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trainer.assess.interval import Interval


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
