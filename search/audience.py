"""Who is shown how the search goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from search.verdict import Verdict


class Audience(Protocol):
    """Who is shown how the search goes."""

    def say(self, line: str) -> None:
        """One line."""

    def trial_started(self, number: int, *, values: dict[str, Any], resumed: bool) -> None:
        """A trial begins, or goes on."""

    def progress(self, done: int, total: int, status: str, *, number: int | None = None) -> None:
        """Steps of the running trial `number`; None: of something else."""

    def evaluated(self, number: int, *, step: int, metrics: Mapping[str, float]) -> None:
        """The running trial made its evaluation `step`."""

    def trial_paused(self, number: int) -> None:
        """A trial has stopped, and will go on later."""

    def trial_ended(self, number: int, *, verdict: Verdict, best: FrozenTrial | None) -> None:
        """A trial is over; `best` is the best so far."""
