"""What of one study can be used in another: measured trials where the spaces agree, else its best points.

A trial fits where its whole configuration could have come from the other space; then its measurement is one
of that study too. A dimension that is new is taken as the old study had it fixed, and the other way round.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.change import completed
from search.dimension import applies, describe, same
from search.marks import ATTRIBUTE, CARRIED
from search.objective import distribution, in_order, value_of
from search.space import Space
from search.verdict import MEMORY
from trainer import UserError, show

#: points that are tried again where measurements do not compare
_BEST = 5


@dataclass(frozen=True)
class Carried:
    """What fits. trials: to be added. points: to be tried first. left: why trials do not fit -> how many."""

    source: str
    trials: list[FrozenTrial] = field(default_factory=list)
    points: list[dict[str, Any]] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    reason: str = ""

    def lines(self) -> list[str]:
        """For a person: what was taken, and what was not."""
        if self.reason:
            why = f"measurements do not compare: {self.reason}"
            taken = f"its {len(self.points)} best points are tried first; {why}"
        else:
            taken = f"{len(self.trials)} measured trials are taken over and count nothing of the budget"
        lines = [f"From study {self.source}: {taken}"]
        return lines + [f"  {count} did not fit: {why}" for why, count in self.left.most_common()]


def carry_over(source: Study, space: Space, *, card: str | None) -> Carried:
    """What of `source` fits `space`. card: what this study runs on; memory is compared on the same only.

    Raises:
        UserError: `source` was not made by cp-search.
    """
    text = source.user_attrs.get(ATTRIBUTE)
    if text is None:
        raise UserError(f"study {source.study_name} was not made by cp-search; nothing can be carried over")
    stored = json.loads(text)
    fit = _Fit(stored["definition"], space, same_card=stored.get("room", {}).get("card") == card)
    ended = source.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    name = source.study_name
    if fit.reason:
        complete = [trial for trial in ended if trial.state == TrialState.COMPLETE]
        best = sorted(complete, key=lambda trial: -(trial.value or 0.0))
        points = [point for trial in best if (point := fit.point(trial))]
        return Carried(name, points=points[:_BEST], reason=fit.reason)
    carried = Carried(name)
    for trial in ended:
        why = fit.why_not(trial)
        if why:
            carried.left[why] += 1
        else:
            carried.trials.append(fit.carried(trial, name))
    return carried


class _Fit:
    """How trials of the study with `old` definition lie in `space`."""

    def __init__(self, old: Mapping[str, Any], space: Space, *, same_card: bool) -> None:
        self._old, self._space, self._same_card = completed(old), space, same_card
        self._new = json.loads(json.dumps(space.definition()))
        self.reason = self._incomparable()

    def _incomparable(self) -> str:
        """The first setting, searched in neither, that differs; empty when none does."""
        searched = {*self._old["search"], *self._space.search}
        for section, settings in self._new["config"].items():
            for name, value in settings.items():
                before = self._old["config"].get(section, {}).get(name)
                if f"{section}.{name}" not in searched and before != value:
                    return f"{section}.{name} was {show(before)} and is {show(value)}"
        return ""

    def why_not(self, trial: FrozenTrial) -> str:
        """Why the trial could not have come from the new space; empty when it could."""
        if "oom" in str(trial.user_attrs.get("cause")) and not self._same_card:
            return "it ran out of memory on another card"
        values = self._params(trial)
        for key in {**self._old["search"], **self._space.search}:
            value = self._value(trial, key)
            if key in values:
                if not self._space.search[key].takes(value):
                    return f"{key} lies outside {describe(self._space.search[key])}"
            elif not same(value, _setting(self._new["config"], key)):
                return f"{key} is not {show(_setting(self._new['config'], key))}"
        return ""

    def point(self, trial: FrozenTrial) -> dict[str, Any]:
        """What of the trial's values the new space takes."""
        values = self._params(trial)
        return {key: value for key, value in values.items() if self._space.search[key].takes(value)}

    def carried(self, trial: FrozenTrial, source: str) -> FrozenTrial:
        """The trial as one of the new study. Its time is not spent again."""
        params = self._params(trial)
        attributes = {key: value for key, value in trial.user_attrs.items() if key != "seconds"}
        made = create_trial(
            state=trial.state,
            values=trial.values if trial.state == TrialState.COMPLETE else None,
            params=params,
            distributions={key: distribution(self._space.search[key]) for key in params},
            user_attrs=attributes | {CARRIED: f"{source} trial {trial.number}"},
            system_attrs={f"constraints:{key}": value for key, value in self._constraints(trial)},
            intermediate_values=dict(trial.intermediate_values),
        )
        made.datetime_start, made.datetime_complete = trial.datetime_start, trial.datetime_complete
        return made

    def _constraints(self, trial: FrozenTrial) -> list[tuple[str, float]]:
        known = trial.constraints.items()
        return [(key, value if self._same_card or key != MEMORY else 0.0) for key, value in known]

    def _params(self, trial: FrozenTrial) -> dict[str, Any]:
        """The trial's values for the dimensions of the new space that exist beside the others."""
        params: dict[str, Any] = {}
        for key in in_order(self._space.search):
            dimension, value = self._space.search[key], self._value(trial, key)
            if applies(dimension, params):
                params[key] = value_of(dimension, value) if dimension.takes(value) else value
        return params

    def _value(self, trial: FrozenTrial, key: str) -> Any:
        """What the trial had there: what was suggested, or what its study had fixed."""
        return trial.params[key] if key in trial.params else _setting(self._old["config"], key)


def _setting(config: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.partition(".")
    return config.get(section, {}).get(name)
