"""How the end of a run reads in a study: `Outcome` -> `Verdict`.

TPE learns from COMPLETE and PRUNED trials and never from FAIL. So what the values are to blame for
(memory, a loss that is not finite) is PRUNED with a violated constraint, graded by how far off it was;
FAIL is for what the values cannot help. Every told trial carries the same constraints: samplers that
model them want them all. See docs/decisions/0007-how-trials-end.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_args, get_type_hints

from optuna.trial import FrozenTrial, TrialState

from search.best import METRIC
from trainer import Outcome

GIB = 2**30
#: GiB over the limit; not above 0: it fits
MEMORY = "memory_gib"
#: 1 when the loss was never finite, less the later it ceased to be; not above 0: it stayed so
FINITE = "nonfinite"
#: user attribute of a trial whose plan did not fit: it was never started
PLANNED = "planned"
#: attributes become columns of the dashboard: one line of this many characters at most
_SHORT = 120
#: what stands at the end of a line that is longer
CUT = "…"
#: between measures, and between halvings
_BETWEEN = "; "
_HALVING = re.compile(r"(?P<where>.+): (?P<from_tokens>\d+) to (?P<to_tokens>\d+) tokens")
#: kind of a run's failure -> the word that is stored with the trial
_FAILURES = {"lost": "worker_lost", "stalled": "stalled", "host_memory": "host_memory"}


@dataclass(frozen=True)
class Verdict:
    """What a study is told of a trial.

    cause: one word (or "same as trial 3") why it is not simply complete. error: one line. planned: the
    verdict is the plan's; nothing was started. attempts: how often the trial was started. measures: what
    was done so that it fits; halvings: every time memory ran out and a step was done again smaller.
    """

    state: TrialState
    value: float | None = None
    cause: str | None = None
    error: str | None = None
    seconds: float = 0.0
    predicted_bytes: int | None = None
    peak_bytes: int | None = None
    planned: bool = False
    attempts: int = 1
    measures: tuple[str, ...] = ()
    halvings: tuple[str, ...] = ()
    constraints: dict[str, float] = field(default_factory=dict)
    intermediate: dict[int, float] = field(default_factory=dict)

    def attributes(self) -> dict[str, Any]:
        """The trial's user attributes: few and short."""
        found: dict[str, Any] = {"seconds": round(self.seconds, 1)}
        if self.cause:
            found["cause"] = self.cause
        if self.attempts > 1:
            found["attempts"] = self.attempts
        for name, peak in (("predicted_gib", self.predicted_bytes), ("peak_gib", self.peak_bytes)):
            if peak is not None:
                found[name] = round(peak / GIB, 3)
        for name, lines in (("measures", self.measures), ("oom_events", self.halvings)):
            if lines:
                found[name] = _short(_BETWEEN.join(lines))
        if self.planned:
            found[PLANNED] = True
        if self.error and self.state == TrialState.FAIL:
            found["error"] = _short(self.error)
        return found


def judge(outcome: Outcome) -> Verdict:
    """What the study is told of a run that has ended. `interrupted` is no end: ValueError."""
    if outcome.status == "completed":
        return _completed(outcome)
    if outcome.status == "stopped":
        return _told(outcome, TrialState.PRUNED, cause="pruned", constraints=_constraints(outcome))
    if outcome.status == "oom":
        return _told(outcome, TrialState.PRUNED, cause="oom", constraints=_over(outcome))
    if outcome.status == "nonfinite":
        return _told(outcome, TrialState.PRUNED, cause="nonfinite", constraints=_diverged(outcome))
    if outcome.status == "failed":
        if outcome.error_kind == "timeout":
            return _told(outcome, TrialState.PRUNED, cause="timeout", constraints=_constraints(outcome))
        cause = _FAILURES.get(outcome.error_kind or "", "failed")
        return _told(outcome, TrialState.FAIL, cause=cause, constraints={})
    raise ValueError(f"a run that is {outcome.status} has not ended")


def refused(outcome: Outcome) -> Verdict:
    """What the study is told of a trial that was not started, because its plan does not fit."""
    return replace(judge(outcome), planned=True)


def repeat(earlier: FrozenTrial) -> Verdict | None:
    """What to tell of a trial with the values of `earlier`; None if that one taught nothing."""
    if earlier.state not in (TrialState.COMPLETE, TrialState.PRUNED):
        return None
    return Verdict(
        earlier.state,
        value=earlier.value if earlier.state == TrialState.COMPLETE else None,
        cause=f"same as trial {earlier.number}",
        constraints=dict(earlier.constraints),
        intermediate=dict(earlier.intermediate_values),
    )


def as_outcome(found: Mapping[str, Any] | None) -> Outcome | None:
    """`outcome.json` as an Outcome; None when there is none or it is something else."""
    known = {each.name for each in fields(Outcome)}
    if (
        found is None
        or found.get("status") not in get_args(get_type_hints(Outcome)["status"])
        or "directory" not in found
    ):
        return None
    return Outcome(**{key: value for key, value in found.items() if key in known})


def told_measures(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """The measures that a trial's user attributes tell of, without their reasons."""
    return tuple(filter(None, str(attributes.get("measures", "")).split(_BETWEEN)))


def told_halvings(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """The out-of-memory events that a trial's user attributes tell of, as in `Outcome.oom_events`.

    Where the line was cut, the last one has nothing but `where`: `CUT`, for one or more that are not known.
    """
    lines = str(attributes.get("oom_events", "")).split(_BETWEEN)
    found = tuple(_event(halving) for halving in map(_HALVING.fullmatch, lines) if halving)
    return (*found, {"where": CUT}) if lines[-1].endswith(CUT) else found


def _event(halving: re.Match[str]) -> dict[str, Any]:
    tokens = {name: int(halving[name]) for name in ("from_tokens", "to_tokens")}
    return {"where": halving["where"], **tokens}


def _completed(outcome: Outcome) -> Verdict:
    value = outcome.best_metrics.get(METRIC)
    # JSON has no NaN: what was not finite comes back as None.
    if value is None or not float("-inf") < value < float("inf"):
        return _told(outcome, TrialState.PRUNED, cause="nonfinite", constraints=_diverged(outcome))
    told = _told(outcome, TrialState.COMPLETE, cause=None, constraints=_constraints(outcome))
    return Verdict(**{**vars(told), "value": value})


def _told(
    outcome: Outcome, state: TrialState, *, cause: str | None, constraints: dict[str, float]
) -> Verdict:
    return Verdict(
        state,
        cause=cause,
        error=outcome.error,
        seconds=outcome.seconds,
        predicted_bytes=outcome.predicted_peak_bytes,
        peak_bytes=outcome.measured_peak_bytes,
        measures=tuple(map(_without_reason, outcome.measures)),
        halvings=tuple(map(_halving, outcome.oom_events)),
        constraints=constraints,
    )


def _without_reason(measure: str) -> str:
    """`fp16 off -> on` of `fp16 off -> on (a card of 4.00 GiB)`."""
    return measure.partition(" (")[0] if measure.endswith(")") else measure


def _halving(event: Mapping[str, Any]) -> str:
    return f"{event['where']}: {event['from_tokens']} to {event['to_tokens']} tokens"


def _short(line: str) -> str:
    return line if len(line) <= _SHORT else f"{line[: _SHORT - 1]}{CUT}"


def _constraints(outcome: Outcome) -> dict[str, float]:
    """Nothing violated; how much room was left, where it was measured."""
    room = 0.0
    if outcome.measured_peak_bytes is not None and outcome.limit_bytes is not None:
        room = min(0.0, (outcome.measured_peak_bytes - outcome.limit_bytes) / GIB)
    return {MEMORY: room, FINITE: 0.0}


def _over(outcome: Outcome) -> dict[str, float]:
    """GiB over the limit; a byte of it when the run could not say how much it wanted."""
    over = (outcome.needed_bytes or 0) - (outcome.limit_bytes or 0)
    return {MEMORY: max(over, 1) / GIB, FINITE: 0.0}


def _diverged(outcome: Outcome) -> dict[str, float]:
    return {**_constraints(outcome), FINITE: 1.0 / (1.0 + (outcome.best_step or 0))}
