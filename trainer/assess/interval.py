"""A number with the interval it is quoted with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """`value`, and where it would lie on other rows, or with other seeds, of the same kind.

    low, high: ends of the interval at `level`; None where one observation says nothing of the spread.
    method: how it was found, in words that can be quoted ("percentile bootstrap over rows, 1000
    resamples, seed 0"; "Student's t, df = 6, deviation between seeds pooled over 3 candidates").
    """

    value: float
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    method: str = ""

    def __str__(self) -> str:
        """`0.7750 (0.7639 to 0.7861)`."""
        if self.low is None or self.high is None:
            return f"{self.value:.4f}"
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"

    @property
    def above_noise(self) -> bool:
        """For a difference: True when the whole interval lies above nought."""
        return self.low is not None and self.low > 0
