"""From a trial to values: what the sampler is asked, and how its answers read in a configuration.

A parameter is named after the key path it sets ("training.learning_rate"), so that a study can be read
without the space that made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search.dimension import Dimension, applies
from search.storage.gathering import together

if TYPE_CHECKING:
    from optuna.trial import Trial

    from search.space import Space


def suggest(trial: Trial, space: Space) -> dict[str, Any]:
    """Key path -> value for every dimension whose `when` holds; the trial is asked for no other."""
    values: dict[str, Any] = {}
    begun = trial.params
    with together(trial.storage):
        for key in in_order(space.search):
            dimension = space.search[key]
            if applies(dimension, values):
                if key in begun:
                    _draw_again(trial, key, distribution(dimension))
                values[key] = value_of(dimension, _ask(trial, key, distribution(dimension)))
    return values


def is_drawn(params: Mapping[str, Any], space: Space) -> bool:
    """Has a trial with `params` all its values?"""
    return all(key in params or not applies(dimension, params) for key, dimension in space.search.items())


def in_order(search: Mapping[str, Dimension]) -> list[str]:
    """The keys so that each comes after those its `when` names; otherwise as in the file."""
    ordered: list[str] = []
    waiting = list(search)
    while waiting:
        ready = [key for key in waiting if not set(search[key].when or {}) & set(waiting)]
        if not ready:
            raise ValueError(f"the conditions of {', '.join(waiting)} go in a circle")
        ordered.append(ready[0])
        waiting.remove(ready[0])
    return ordered


def distribution(dimension: Dimension) -> BaseDistribution:
    """The dimension in Optuna's terms."""
    if dimension.choices is not None:
        return CategoricalDistribution(dimension.choices)
    if dimension.low is None or dimension.high is None:
        raise ValueError(f"a dimension of type {dimension.type} has low and high")
    if dimension.type == "int":
        step = int(dimension.step or 1)
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log, step=step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def value_of(dimension: Dimension, parameter: Any) -> Any:
    """Optuna's value as the configuration's type: an enqueued 16.0 is 16 where a whole number is meant."""
    if dimension.type == "int":
        return int(parameter)
    return float(parameter) if dimension.type == "float" else parameter


def values_of(space: Space, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's `params` as key path -> value, ready for `space.trial_config`."""
    return {key: value_of(space.search[key], parameter) for key, parameter in parameters.items()}


def _draw_again(trial: Trial, key: str, wanted: BaseDistribution) -> None:
    """Draw what an earlier worker drew for `key` before it died, so that the next key gets the next draw."""
    frozen = trial.study.get_trials(deepcopy=False)[trial.number]
    fixed = frozen.system_attrs.get("fixed_params", {})
    if key not in trial.relative_params and key not in fixed and not wanted.single():
        trial.study.sampler.sample_independent(trial.study, frozen, key, wanted)


def _ask(trial: Trial, key: str, wanted: BaseDistribution) -> Any:
    if isinstance(wanted, CategoricalDistribution):
        return trial.suggest_categorical(key, wanted.choices)
    if isinstance(wanted, IntDistribution):
        return trial.suggest_int(key, wanted.low, wanted.high, step=wanted.step, log=wanted.log)
    if isinstance(wanted, FloatDistribution):
        return trial.suggest_float(key, wanted.low, wanted.high, step=wanted.step, log=wanted.log)
    raise TypeError(f"no way to ask for a {type(wanted).__name__}")
