"""Which pruner finds good trials soonest: replays of a study that pruned none.

    cp-search run SPACE      # with pruner: NopPruner and sampler: RandomSampler
    python -m benchmarks.pruners sqlite:///studies/NAME.db NAME [--orders 400] [--budget 60]

Every pruner sees the study's finished trials in the same shuffled orders. What counts as time is the number
of evaluations, since each closes an equal stretch of training. Printed are how well each evaluation ranks the
trials (Spearman, with a trial's best), the best value after a budget of evaluations, and how many evaluations
it took until a value was seen that only a tenth of the trials reach.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterable, Sequence
from statistics import mean, median

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from scipy.stats import spearmanr

#: what a trial reported, evaluation by evaluation
Values = Sequence[float]

PRUNERS: dict[str, Callable[[int], BasePruner]] = {
    "none": lambda _: NopPruner(),
    "median": lambda _: MedianPruner(n_startup_trials=5),
    "median, not at the first": lambda _: MedianPruner(n_startup_trials=5, n_warmup_steps=2),
    "worst quarter": lambda _: PercentilePruner(75.0, n_startup_trials=5),
    "worst quarter, not at the first": lambda _: PercentilePruner(75.0, n_startup_trials=5, n_warmup_steps=2),
    "successive halving (ASHA)": lambda _: SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    "hyperband": lambda last: HyperbandPruner(min_resource=1, max_resource=last, reduction_factor=2),
}


def main() -> None:
    """Parse the command line, replay, print."""
    arguments = _arguments()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name=arguments.study, storage=arguments.storage)
    trials = whole(study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE]))
    print(f"{len(trials)} trials of {len(trials[0])} evaluations")
    bests = [max(values) for values in trials]
    for step in range(len(trials[0])):
        correlation = spearmanr([values[step] for values in trials], bests).statistic
        print(f"evaluation {step + 1}: rank correlation with the trial's best {correlation:.2f}")
    goal = sorted(bests)[-max(1, len(bests) // 10)]
    print(f"\n{'':33}{'best after ' + str(arguments.budget):>15}{f'until {goal:.4f}':>16}{'finished':>10}")
    for name, build in PRUNERS.items():
        runs = [
            replay(order, build(len(trials[0])), budget=arguments.budget, goal=goal)
            for order in orders(trials, arguments.orders)
        ]
        best, until, finished = zip(*runs, strict=True)
        print(f"{name:33}{mean(best):15.4f}{median(until):16.0f}{mean(finished):10.1f}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("storage", help="URL of the storage")
    parser.add_argument("study", help="name of a study whose trials were not pruned")
    parser.add_argument("--orders", type=int, default=400, help="shuffles of the trials")
    parser.add_argument("--budget", type=int, default=60, help="evaluations")
    return parser.parse_args()


def whole(trials: Iterable[optuna.trial.FrozenTrial]) -> list[Values]:
    """Each trial's values in order; only trials with as many as the longest."""
    found = [[value for _, value in sorted(trial.intermediate_values.items())] for trial in trials]
    longest = max(map(len, found))
    return [values for values in found if len(values) == longest]


def orders(trials: Sequence[Values], count: int) -> list[list[Values]]:
    """`count` shuffles, the same at every call."""
    dice = random.Random(0)
    return [dice.sample(trials, len(trials)) for _ in range(count)]


def replay(
    order: Sequence[Values], pruner: BasePruner, *, budget: int, goal: float
) -> tuple[float, float, int]:
    """One search through `order`, trial after trial.

    Returns:
        The best value seen within `budget` evaluations, the evaluations until a value of at least `goal`
        (infinite: never), and how many trials were not pruned within the budget.
    """
    study = optuna.create_study(direction="maximize", pruner=pruner)
    spent, best, until, finished = 0, 0.0, float("inf"), 0
    for values in order:
        trial = study.ask()
        for step, value in enumerate(values, 1):
            spent += 1
            if spent <= budget:
                best = max(best, value)
            if value >= goal:
                until = min(until, spent)
            trial.report(value, step)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            finished += spent <= budget
            study.tell(trial, max(values))
    return best, until, finished


if __name__ == "__main__":
    main()
