"""One attempt at one trial: what the child says is shown, what it reports is stored, the pruner asked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial

from search.audience import Audience
from search.best import METRIC
from search.interruption import Asked


class Attempt:
    """One run of one trial, seen from the worker: passes on what it says, asks the pruner."""

    def __init__(self, trial: Trial, *, reported: Iterable[int], audience: Audience, stop: Asked) -> None:
        """`reported`: steps an earlier attempt has reported."""
        self._trial = trial
        self._reported = set(reported)
        #: an earlier attempt went beyond the evaluations before this one
        self._passed = max(self._reported, default=0)
        self._audience = audience
        self._stop = stop

    def say(self, line: str) -> None:
        """Show it."""
        self._audience.say(f"Trial {self._trial.number} | {line}")

    def progress(self, done: int, total: int, status: str) -> None:
        """Show it."""
        self._audience.progress(done, total, status, number=self._trial.number)

    def interrupted(self) -> bool:
        """Has the user asked to end?"""
        return self._stop.asked

    def report(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Store the evaluation; True when the pruner would stop here, or another worker ended the trial."""
        self._audience.evaluated(self._trial.number, step=step, metrics=metrics)
        try:
            self._store(step, metrics)
        except UpdateFinishedTrialError:
            return True
        # What an earlier attempt went beyond was decided then; asked again, the pruner would know more.
        return step >= self._passed and self._trial.should_prune()

    def catch_up(self, reports: Iterable[tuple[int, Mapping[str, float]]]) -> bool:
        """Store evaluations that an earlier attempt made and nobody heard; True when the pruner stops there.

        A child whose worker died goes on to its next checkpoint, which may lie behind such an evaluation.
        """
        for step, metrics in reports:
            self._store(step, metrics)
        return bool(self._reported) and self._trial.should_prune()

    def _store(self, step: int, metrics: Mapping[str, float]) -> None:
        value = metrics.get(METRIC)
        # After a resume an evaluation may be made again; Optuna keeps the first value of a step.
        if value is not None and math.isfinite(value) and step not in self._reported:
            self._trial.report(value, step)
            self._reported.add(step)
