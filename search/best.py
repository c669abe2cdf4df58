"""Which trial is the best: one rule for the search, its end, `status` and the report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Scored(Protocol):
    """What is ranked: a trial of Optuna's, or what is told of one."""

    @property
    def number(self) -> int:
        """The trial's number in its study."""

    @property
    def value(self) -> float | None:
        """Its objective."""


T = TypeVar("T", bound=Scored)

#: what a trial's value is, among the metrics of an evaluation
METRIC = "eval_f1_macro"


def best_of(complete: Iterable[T]) -> T | None:
    """The greatest value; of equals the earliest, which is the one that was trained. None: there is none."""
    return max(complete, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)
