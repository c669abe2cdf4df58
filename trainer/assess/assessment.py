"""What an evaluation on rows nothing was chosen on came to.

The same shape serves the model, the baseline and the ensemble, so that they can stand side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trainer.assess.interval import Interval


@dataclass(frozen=True)
class ClassScore:
    """One class of one task. support: rows that carry it; predicted: rows that were given it."""

    name: str
    support: int
    predicted: int
    precision: float
    recall: float
    f1: Interval


@dataclass(frozen=True)
class TaskScore:
    """Scores of one task. rows: labelled ones. confusion[true][predicted]. ece: of its probabilities."""

    name: str
    weight: float
    rows: int
    f1_macro: Interval
    accuracy: Interval
    classes: list[ClassScore]
    confusion: list[list[int]]
    ece: float | None = None


@dataclass(frozen=True)
class Slice:
    """The rows of one task that have `value` in the extra column `column`.

    labels, predicted: class -> rows that carry it, that were given it. accuracy: with Wilson's interval.
    f1_macro: over the classes that occur in the slice. flagged: share of the rows given another class than
    the task's first ("none", "0"); where all rows of the slice carry the first, these are false accusations.
    """

    column: str
    value: str
    task: str
    rows: int
    labels: dict[str, int]
    predicted: dict[str, int]
    accuracy: Interval
    f1_macro: float
    flagged: Interval

    @property
    def falsely_accused(self) -> Interval | None:
        """`flagged` where no row of the slice deserves it; None elsewhere."""
        first = next(iter(self.labels), None)
        return self.flagged if first is not None and self.labels[first] == self.rows else None


@dataclass(frozen=True)
class HardError:
    """A row the model gets wrong and is sure about. line: in the file, from 1. sure: of the wrong label.

    right: the probability it gave the true label.
    """

    line: int
    text: str
    task: str
    label: str
    predicted: str
    sure: float
    right: float


@dataclass(frozen=True)
class Assessment:
    """Scores on the rows of one file.

    path, sha256: the file. f1_macro: task-weighted mean over tasks. slices: largest first within a column;
    columns with too many values, or none that repeats, are left out and named in `unsliced`.
    errors: the hardest, hardest first.
    """

    path: str
    sha256: str
    rows: int
    f1_macro: Interval
    accuracy: Interval
    tasks: list[TaskScore]
    slices: list[Slice] = field(default_factory=list)
    unsliced: list[str] = field(default_factory=list)
    errors: list[HardError] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """The baseline on the same rows, and how far the model is ahead of it.

    name: what it is, in words. strength: its C, by task; chosen_on: the rows its C was chosen on, in words
    (never test). difference: model minus baseline in macro-F1 on the same rows, paired.
    """

    name: str
    strength: dict[str, float]
    chosen_on: str
    assessment: Assessment
    difference: Interval
