"""An Optuna script as its documentation writes them: an objective with Trainer, `n_jobs` threads."""

from __future__ import annotations

import optuna
import torch

from benchmarks.race.log import Log
from benchmarks.race.peer import Watch, suggest, trainer
from benchmarks.race.rules import Rules


def search(rules: Rules, log: Log) -> None:
    """Search; evaluations are reported by their number, so that all trials compare."""
    torch.set_num_threads(max(1, rules.cores // rules.parallel))

    def objective(trial: optuna.Trial) -> float:
        scores: list[float] = []

        def seen(f1: float, count: int) -> None:
            scores.append(f1)
            log.evaluated(trial.number, f1)
            trial.report(f1, count)
            if trial.should_prune():
                raise optuna.TrialPruned

        params = suggest(trial)
        trainer(rules, log, number=trial.number, params=params, callbacks=[Watch(seen)]).train()
        return scores[-1]

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=rules.seed),
        pruner=optuna.pruners.MedianPruner(),
    )
    study.optimize(
        objective,
        n_trials=rules.trials,
        timeout=rules.seconds,
        n_jobs=rules.parallel,
        catch=(torch.OutOfMemoryError,),
    )
