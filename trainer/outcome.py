"""What one run leaves behind: `Outcome`, and the callables through which it speaks meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

#: What an evaluation came to: metric -> value, for example `eval_f1_macro`.
Metrics = Mapping[str, float]

#: report(step, metrics) -> True to stop. `step` counts evaluations from 1; evaluations lie at
#: fixed fractions of an epoch, so the same step means the same progress for every batch size.
Report = Callable[[int, Metrics], bool]

#: How a run ended; all but `completed` and `stopped` (by its `report`) say what went wrong.
Status = Literal["completed", "stopped", "interrupted", "oom", "nonfinite", "failed"]
ErrorKind = Literal["user", "crash", "lost", "timeout", "stalled", "host_memory"]


@dataclass(frozen=True)
class Outcome:
    """The result of one run; written whole to `outcome.json` as the last act of a trial.

    status: completed (ran to its end or stopped early by its own patience), stopped (the report
    callback said so), interrupted (asked to end; can be resumed), oom, nonfinite, failed.
    best_metrics: all metrics of the best evaluation; best_step: its step (None: none was made).
    steps: optimizer steps done. seconds: wall time. *_bytes: memory peaks on the card.
    measures: memory measures taken, in order. oom_events: budget halvings, as recorded.
    paths: name -> path relative to the run's directory. test: scores on the test rows, if read.
    error: one line. error_kind, of a failed run: user (who can mend it), crash (a traceback is in
    `error.txt`), lost (its process died); timeout, stalled, host_memory: it was ended, and why.
    """

    status: Status
    directory: str
    best_metrics: dict[str, float] = field(default_factory=dict)
    best_step: int | None = None
    steps: int = 0
    seconds: float = 0.0
    predicted_peak_bytes: int | None = None
    measured_peak_bytes: int | None = None
    limit_bytes: int | None = None
    needed_bytes: int | None = None
    measures: list[str] = field(default_factory=list)
    oom_events: list[dict[str, Any]] = field(default_factory=list)
    paths: dict[str, str] = field(default_factory=dict)
    test: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    error_kind: ErrorKind | None = None


class Observer(Protocol):
    """Who watches a run: a terminal, or the worker at the other end of a pipe."""

    def say(self, line: str) -> None:
        """One line for a person."""

    def progress(self, done: int, total: int, status: str) -> None:
        """`done` of `total` optimizer steps, and the live line (loss, rate, memory)."""

    def interrupted(self) -> bool:
        """True when the run should checkpoint and end; asked before every optimizer step."""


class Silent:
    """An observer that shows nothing and never interrupts."""

    def say(self, line: str) -> None:
        """Drop the line."""

    def progress(self, done: int, total: int, status: str) -> None:
        """Drop the progress."""

    def interrupted(self) -> bool:
        """Never."""
        return False
