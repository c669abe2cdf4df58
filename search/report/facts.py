"""Everything the page says of a study, gathered once; the renderers add words and layout, never numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from search.finish.stored import Stored
from trainer import Assessment, Comparison

#: states of trials, as Optuna names them, lower case
COMPLETE, PRUNED, FAIL, RUNNING, WAITING = "complete", "pruned", "fail", "running", "waiting"

#: where the best configuration was read: of the final model, of the best trial, nowhere
ConfigSource = Literal["final", "trial"]


@dataclass(frozen=True)
class TrialFacts:
    """One trial. value: its best eval_f1_macro, None unless complete. reports: evaluation -> value.

    cause: why it is not simply complete. *_bytes: memory on the card, None where it was not planned or not
    measured. measures: what was done so that it fits. oom_events: every time it had to be cut smaller.
    directory: None when it is not there.
    """

    number: int
    state: str
    value: float | None
    params: dict[str, Any]
    reports: dict[int, float]
    seconds: float | None = None
    cause: str | None = None
    error: str | None = None
    predicted_bytes: int | None = None
    measured_bytes: int | None = None
    limit_bytes: int | None = None
    measures: tuple[str, ...] = ()
    oom_events: tuple[dict[str, Any], ...] = ()
    directory: str | None = None

    @property
    def last(self) -> float | None:
        """The value that stands for the trial: its result, or else its last report."""
        if self.value is not None:
            return self.value
        return self.reports[max(self.reports)] if self.reports else None


@dataclass(frozen=True)
class Axis:
    """One searched hyperparameter. choices: None for a range, whose ends are low and high."""

    key: str
    choices: tuple[Any, ...] | None = None
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    @property
    def name(self) -> str:
        """The last part of the key path: enough for a person."""
        return self.key.rpartition(".")[2]


@dataclass(frozen=True)
class Trimmed:
    """A choice that was taken out of the space because the card cannot hold it.

    needed_bytes: the least it would need; None where the plan was not kept.
    """

    key: str
    choice: Any
    needed_bytes: int | None
    limit_bytes: int | None


@dataclass(frozen=True)
class Saving:
    """What pruning saved, estimated: a pruned trial would have gone on at its own pace to `evaluations`.

    seconds: None when no trial completed, so that nobody knows how long a whole one is.
    """

    trials: int
    seconds: float | None = None
    evaluations: int | None = None


@dataclass(frozen=True)
class StudyFacts:
    """A study and its finish. No field is a guess: what is not known is None or empty.

    seconds: of all trials together. card, trimmed: what its space was cut to, when it was made.
    importance: hyperparameter -> share, most important first; empty with too few completed trials.
    curve: evaluations of the final training. config: the best configuration as YAML, and where it was read.
    """

    name: str
    storage: str
    directory: str
    trials: tuple[TrialFacts, ...]
    best: TrialFacts | None
    axes: tuple[Axis, ...] = ()
    importance: dict[str, float] = field(default_factory=dict)
    saving: Saving = Saving(0)
    seconds: float = 0.0
    started: str | None = None
    last_activity: str | None = None
    card: str | None = None
    trimmed: tuple[Trimmed, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    model_name: str | None = None
    stored: Stored = field(default_factory=Stored)
    curve: tuple[dict[str, float], ...] = ()
    config: str | None = None
    config_source: ConfigSource | None = None

    @property
    def short_model_name(self) -> str | None:
        """The model's name; of a local directory its last part."""
        name = self.model_name
        return Path(name).name if name and Path(name).is_absolute() else name

    def counts(self) -> dict[str, int]:
        """Trials by state, in a fixed order; states without trials are left out."""
        states = [trial.state for trial in self.trials]
        every = (COMPLETE, PRUNED, FAIL, RUNNING, WAITING)
        return {state: states.count(state) for state in every if state in states}

    def in_state(self, *states: str) -> tuple[TrialFacts, ...]:
        """The trials in those states."""
        return tuple(trial for trial in self.trials if trial.state in states)

    def to_json(self, *, texts: bool = True) -> dict[str, Any]:
        """The one document of `report --json`. texts: with the texts of error examples."""
        facts = self if texts else _without_texts(self)
        return {"counts": facts.counts(), **asdict(facts)}


def _without_texts(facts: StudyFacts) -> StudyFacts:
    """The facts without any text of the test rows."""
    stored = facts.stored
    final = stored.final
    bare = replace(
        stored,
        evaluation=_bare(stored.evaluation),
        baseline=_bare_comparison(stored.baseline),
        ensemble=stored.ensemble and replace(stored.ensemble, test=_bare(stored.ensemble.test)),
        final=final
        and replace(
            final,
            evaluation=_bare(final.evaluation),
            comparison=_bare_comparison(final.comparison),
            ensemble=final.ensemble and replace(final.ensemble, test=_bare(final.ensemble.test)),
        ),
    )
    return replace(facts, stored=bare)


def _bare(found: Assessment | None) -> Assessment | None:
    return found and replace(found, errors=[])


def _bare_comparison(found: Comparison | None) -> Comparison | None:
    return found and replace(found, assessment=replace(found.assessment, errors=[]))
