"""What became of a finished run: its rule, its export, and what averaging brings.

Records alone: a search keeps them in a process that never imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.assess.interval import Interval
from trainer.assess.rule import Rule


@dataclass(frozen=True)
class Ruled:
    """The final model of a finished run, and how its logits become labels. rule: None for plain argmax."""

    run_directory: str
    rule: Rule | None = None


@dataclass(frozen=True)
class Together:
    """Members and the best single one on the same validation rows. gain: together - single, paired."""

    alone: list[float]
    single: Interval
    together: Interval
    gain: Interval


@dataclass(frozen=True)
class Exported:
    """Where the model lies and how far its logits were from the trained model's when reloaded."""

    directory: Path
    largest_difference: float
    checked_texts: int


@dataclass(frozen=True)
class Reloaded:
    """An export, loaded afresh, on the rows of a file.

    differing: rows with another label than expected, near-ties all of them. difference: the largest of any
    probability.
    """

    rows: int
    f1_macro: float
    differing: int
    difference: float
