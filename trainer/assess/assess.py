"""From labels and probabilities on the rows of a file to an `Assessment`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainer.assess.assessment import Assessment, ClassScore, HardError, TaskScore
from trainer.assess.bootstrap import Draws, class_f1, resample, task_accuracy, task_macro
from trainer.assess.calibration import calibration_error
from trainer.assess.interval import Interval
from trainer.assess.rule import Answers
from trainer.assess.slices import cut, slices
from trainer.data.content import fingerprint
from trainer.data.read import MASKED
from trainer.metrics import TaskScores, score

if TYPE_CHECKING:
    from trainer.data.splits import Rows
    from trainer.data.tasks import Task

#: errors kept of each task
HARDEST = 20

Ints = NDArray[np.int64]


def assess(rows: Rows, answers: Answers, *, tasks: Sequence[Task], draws: Draws | None = None) -> Assessment:
    """Scores with intervals, slices by the extra columns, and the hardest errors."""
    draws = draws or Draws()
    labels_NT = rows.labels_NT
    scores = score(answers.labels_NT, labels_NT, tasks=tasks)
    drawn = resample(answers.labels_NT, labels_NT, tasks=tasks, draws=draws)
    columns = cut(rows.table, tasks=tasks)
    scored = [
        _task(found, drawn.confusions[index], weight=task.weight, draws=draws)
        for index, (task, found) in enumerate(zip(tasks, scores.tasks, strict=True))
    ]
    return Assessment(
        path=str(rows.table.path),
        sha256=fingerprint(rows.table.path),
        rows=len(labels_NT),
        f1_macro=draws.interval(scores.f1_macro, drawn.f1_macro_R),
        accuracy=draws.interval(scores.accuracy, drawn.accuracy_R),
        tasks=_calibrated(scored, answers, labels_NT),
        slices=slices(answers.labels_NT, labels_NT, tasks=tasks, cut=columns),
        unsliced=columns.left_out,
        errors=[
            error for index, task in enumerate(tasks) for error in _hardest(rows, answers, (index, task))
        ],
    )


def difference(ours: Ints, theirs: Ints, labels_NT: Ints, *, tasks: Sequence[Task]) -> Interval:
    """Macro-F1 of `ours` minus that of `theirs` (predicted class numbers [N, T]) on the same rows, paired."""
    draws = Draws()
    drawn = [
        resample(found_NT, labels_NT, tasks=tasks, draws=draws).f1_macro_R for found_NT in (ours, theirs)
    ]
    ahead = score(ours, labels_NT, tasks=tasks).f1_macro - score(theirs, labels_NT, tasks=tasks).f1_macro
    return draws.interval(ahead, drawn[0] - drawn[1])


def _task(found: TaskScores, confusion_RCC: Ints, *, weight: float, draws: Draws) -> TaskScore:
    return TaskScore(
        name=found.name,
        weight=weight,
        rows=found.rows,
        f1_macro=draws.interval(found.f1_macro, task_macro(confusion_RCC)),
        accuracy=draws.interval(found.accuracy, task_accuracy(confusion_RCC)),
        classes=list(_classes(found, confusion_RCC, draws=draws)),
        confusion=found.confusion_CC.tolist(),
    )


def _classes(found: TaskScores, confusion_RCC: Ints, *, draws: Draws) -> Iterator[ClassScore]:
    f1_RC = class_f1(confusion_RCC)
    for index, name in enumerate(found.classes):
        hits = int(found.confusion_CC[index, index])
        support, predicted = int(found.confusion_CC[index].sum()), int(found.confusion_CC[:, index].sum())
        yield ClassScore(
            name=name,
            support=support,
            predicted=predicted,
            precision=hits / max(1, predicted),
            recall=hits / max(1, support),
            f1=draws.interval(float(found.f1_C[index]), f1_RC[:, index]),
        )


def _calibrated(scored: Sequence[TaskScore], answers: Answers, labels_NT: Ints) -> list[TaskScore]:
    found = []
    for index, task in enumerate(scored):
        known_N = labels_NT[:, index] != MASKED
        error = calibration_error(answers.probabilities[index][known_N], labels_NT[known_N, index])
        found.append(replace(task, ece=error))
    return found


def _hardest(rows: Rows, answers: Answers, numbered: tuple[int, Task]) -> Iterator[HardError]:
    index, task = numbered
    labels_N, given_N = rows.labels_NT[:, index], answers.labels_NT[:, index]
    shares_NC = answers.probabilities[index]
    sure_N = shares_NC[np.arange(len(given_N)), given_N]
    wrong = np.flatnonzero((labels_N != MASKED) & (labels_N != given_N))
    for row in wrong[np.argsort(-sure_N[wrong], kind="stable")][:HARDEST]:
        yield HardError(
            line=rows.table.lines[row],
            text=rows.table.texts[row],
            task=task.name,
            label=task.classes[labels_N[row]],
            predicted=task.classes[given_N[row]],
            sure=float(sure_N[row]),
            right=float(shares_NC[row, labels_N[row]]),
        )
