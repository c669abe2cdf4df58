"""Thresholds that take the place of the most probable class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import UserError

Floats = NDArray[np.floating[Any]]

_EXAMPLE = "as in --threshold 0.3 (two classes), --threshold toxic=0.3, or --threshold toxicity/toxic=0.3"


@dataclass(frozen=True)
class Threshold:
    """Class number `column` of `task` is given to a text exactly when its probability reaches `least`."""

    task: str
    column: int
    least: float


def parse_thresholds(words: Sequence[str], tasks: Mapping[str, Sequence[str]]) -> list[Threshold]:
    """`0.3`, `CLASS=0.3` or `TASK/CLASS=0.3`; a bare number means the second class of every two-class task.

    Raises:
        UserError: no such task or class, or no probability between 0 and 1.
    """
    return [threshold for word in words for threshold in _parse(word, tasks)]


def decide(shares_NC: Floats, thresholds: Sequence[Threshold]) -> NDArray[np.int64]:
    """Class numbers: of the classes that reach their threshold the one furthest above it, else the most
    probable of the classes without one (of those with one, if all have)."""
    found_N: NDArray[np.int64] = shares_NC.argmax(1)
    if not thresholds:
        return found_N
    least_C = np.full(shares_NC.shape[1], np.nan)
    for threshold in thresholds:
        least_C[threshold.column] = threshold.least
    bound_C = ~np.isnan(least_C)
    above_NC = np.where(
        bound_C & (shares_NC >= np.nan_to_num(least_C)), shares_NC / np.maximum(least_C, 1e-9), 0.0
    )
    free_NC = np.where(bound_C, -1.0, shares_NC) if not bound_C.all() else shares_NC
    chosen_N: NDArray[np.int64] = np.where(above_NC.max(1) > 0, above_NC.argmax(1), free_NC.argmax(1))
    return chosen_N


def _parse(word: str, tasks: Mapping[str, Sequence[str]]) -> list[Threshold]:
    name, _, number = word.rpartition("=")
    least = _probability(number, word)
    if not name:
        two = [task for task, classes in tasks.items() if len(classes) == 2]
        if len(two) != len(tasks):
            raise UserError(f"--threshold {word}: which class? Name it, {_EXAMPLE}")
        return [Threshold(task, 1, least) for task in two]
    found = [
        Threshold(task, column, least)
        for task, classes in tasks.items()
        for column, label in enumerate(classes)
        if name in (label, f"{task}/{label}")
    ]
    if len(found) != 1:
        known = ", ".join(f"{task}/{label}" for task, classes in tasks.items() for label in classes)
        why = "several tasks have that class" if found else "there is no such class"
        raise UserError(f"--threshold {word}: {why}; the classes are: {known}")
    return found


def _probability(number: str, word: str) -> float:
    try:
        least = float(number)
    except ValueError:
        least = -1.0
    if not 0 < least <= 1:
        raise UserError(f"--threshold {word}: a probability above 0 and at most 1 is needed, {_EXAMPLE}")
    return least
