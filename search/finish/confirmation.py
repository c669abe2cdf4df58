"""What training the best trials again, on seeds the search has not seen, came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trainer import Interval


@dataclass(frozen=True)
class ConfirmRun:
    """One candidate on one fresh seed. value: its best eval_f1_macro; None if it did not complete.

    best_epoch: epochs (fractions count) to its best evaluation. directory: below the study's.
    """

    trial: int
    seed: int
    status: str
    directory: str
    value: float | None = None
    best_epoch: float | None = None
    seconds: float = 0.0
    predicted_peak_bytes: int | None = None
    measured_peak_bytes: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class Candidate:
    """One of the search's best trials. search_value: what the search saw, on its own seed.

    mean: over the fresh seeds alone; deviation: of these values (n - 1), None for one run.
    luck: search_value - mean. tied: not told apart from the first by the rule of the confirmation.
    seconds: mean of a run; predicted_peak_bytes: planned memory, None without a card.
    """

    trial: int
    params: dict[str, Any]
    search_value: float
    runs: list[ConfirmRun]
    mean: Interval | None = None
    deviation: float | None = None
    luck: float | None = None
    tied: bool = False
    seconds: float = 0.0
    predicted_peak_bytes: int | None = None


@dataclass(frozen=True)
class Confirmation:
    """The candidates in the order of their means, best first, and what follows.

    chosen: the trial with the best mean, which is retrained. luck: of the trial the search held best.
    cheaper: the tied candidate that needs less memory, or less time (None: there is none), and why.
    tie_rule: what counts as a tie, in words. seeds: the fresh seeds, the same for every candidate.
    """

    seeds: list[int]
    chosen: int
    candidates: list[Candidate] = field(default_factory=list)
    luck: float | None = None
    cheaper: int | None = None
    cheaper_reason: str = ""
    tie_rule: str = ""

    def candidate(self, trial: int) -> Candidate:
        """The candidate that is trial number `trial`. Raises KeyError."""
        for candidate in self.candidates:
            if candidate.trial == trial:
                return candidate
        raise KeyError(trial)
