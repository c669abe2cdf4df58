"""Repeated measurements as one line: the median and how far apart they lay."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of some measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def __format__(self, spec: str) -> str:
        """`median (low-high)`, each number formatted by `spec`."""
        return f"{self.median:{spec}} ({self.low:{spec}}-{self.high:{spec}})"
