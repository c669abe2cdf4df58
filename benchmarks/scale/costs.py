"""What Optuna's parts cost at a study's size: real sampler, pruner and storage, made-up trials."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from search.methods import build_pruner, build_sampler
from search.objective import distribution, suggest
from search.space import Space

#: evaluations of a made-up trial: four epochs, two in each
EVALUATIONS = 8
#: share of made-up trials that the pruner has stopped, each half-way
PRUNED = 0.4


@dataclass(frozen=True)
class Cost:
    """Seconds of one trial's dealings with a study of `trials` trials.

    suggest: ask, and all parameters from the sampler. report: an evaluation stored and the pruner asked.
    tell: the end stored.
    """

    trials: int
    suggest: float
    report: float
    tell: float

    @property
    def whole(self) -> float:
        """A trial from its first word to its last."""
        return self.suggest + EVALUATIONS * self.report + self.tell


def measure(space: Space, storage: BaseStorage, *, sizes: list[int], repeats: int) -> Iterator[Cost]:
    """Grow one study to each of `sizes` and time whole trials on it; the median of `repeats`."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(storage=storage, direction="maximize", pruner=build_pruner(space))
    distributions = {key: distribution(dimension) for key, dimension in space.search.items()}
    dice = random.Random(0)
    there = 0
    for size in sizes:
        study.add_trials([made_up(distributions, dice) for _ in range(size - there)])
        found = [_one(study, space, number=size + index, dice=dice) for index in range(repeats)]
        there = size + repeats
        yield Cost(size, *(median(column) for column in zip(*found, strict=True)))


def made_up(distributions: dict[str, BaseDistribution], dice: random.Random) -> FrozenTrial:
    """A finished trial with parameters from the space and a value that depends on nothing."""
    pruned = dice.random() < PRUNED
    values = [dice.uniform(0.5, 0.9) for _ in range(EVALUATIONS // 2 if pruned else EVALUATIONS)]
    return create_trial(
        state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
        value=values[-1] if pruned else max(values),
        params={key: _draw(each, dice) for key, each in distributions.items()},
        distributions=distributions,
        intermediate_values=dict(enumerate(values, 1)),
    )


def _draw(wanted: BaseDistribution, dice: random.Random) -> object:
    if isinstance(wanted, optuna.distributions.CategoricalDistribution):
        return dice.choice(wanted.choices)
    if isinstance(wanted, optuna.distributions.IntDistribution):
        return dice.randint(wanted.low, wanted.high)
    if isinstance(wanted, optuna.distributions.FloatDistribution):
        return dice.uniform(wanted.low, wanted.high)
    raise TypeError(f"no way to draw from {wanted}")


def _one(
    study: optuna.Study, space: Space, *, number: int, dice: random.Random
) -> tuple[float, float, float]:
    asked: list[Trial] = []

    def ask() -> None:
        study.sampler = build_sampler(space, number=number)
        asked.append(study.ask())
        suggest(asked[0], space)

    suggested = timed(ask)
    (trial,) = asked
    reports = [timed(partial(_report, trial, step, dice)) for step in range(1, EVALUATIONS + 1)]
    return suggested, median(reports), timed(lambda: study.tell(trial, dice.uniform(0.5, 0.9)))


def _report(trial: Trial, step: int, dice: random.Random) -> None:
    trial.report(dice.uniform(0.5, 0.9), step)
    trial.should_prune()


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
