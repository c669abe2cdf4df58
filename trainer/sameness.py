"""A hint for runs whose model gives every text the same answer."""

from __future__ import annotations

from trainer.config.schema import TrainingConfig
from trainer.metrics import Scores, TaskScores


class Sameness:
    """Says once that a task's predictions all fall into one class, although its labels do not.

    Early in a training that is nothing unusual: it is said of two evaluations in a row, or of the last one.
    """

    def __init__(self, training: TrainingConfig) -> None:
        self._training = training
        self._before: set[str] = set()
        self._said = False

    def hint(self, scores: Scores, *, step: int, last: bool) -> str | None:
        """The line for a person about the newest evaluation, made after `step` optimizer steps."""
        alike = {task.name: only for task in scores.tasks if (only := only_class(task)) is not None}
        named = sorted(alike if last else alike.keys() & self._before)
        self._before = set(alike)
        if self._said or not named:
            return None
        self._said = True
        answers = ", ".join(f"{alike[name]!r} ({name})" for name in named)
        rate = f"{self._training.learning_rate:.3g}"
        return (
            f"Every validation text is called {answers}: {step} steps told nothing apart; more steps, "
            f"a higher training.learning_rate (it is {rate}) or training.class_weights may help"
        )


def only_class(task: TaskScores) -> str | None:
    """The one class that all labelled rows were given, where their labels are of more than one; else None."""
    (given,) = task.confusion_CC.sum(0).nonzero()
    return task.classes[int(given[0])] if len(given) == 1 and (task.support_C > 0).sum() > 1 else None
