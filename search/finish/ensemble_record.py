"""What averaging several members came to."""

from __future__ import annotations

from dataclasses import dataclass, field

from trainer import Assessment, Interval


@dataclass(frozen=True)
class Member:
    """One member: the trial and seed it was trained from, its run, its macro-F1 on validation."""

    trial: int
    seed: int
    experiment_dir: str
    f1_macro: float


@dataclass(frozen=True)
class EnsembleRecord:
    """N members against the best single one, on validation; where kept, the evaluation is the ensemble's.

    together, single: macro-F1 on validation; gain: their paired difference. kept: its interval lies above 0.
    planned_bytes: of all members' weights, which predicting holds in memory together.
    test: the evaluation, where kept.
    """

    members: list[Member] = field(default_factory=list)
    single: Interval | None = None
    together: Interval | None = None
    gain: Interval | None = None
    kept: bool = False
    reason: str = ""
    planned_bytes: int | None = None
    test: Assessment | None = None
