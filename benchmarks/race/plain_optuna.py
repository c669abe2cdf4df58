"""An Optuna script as its documentation writes them: an objective with Trainer, `n_jobs` threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
import torch

from benchmarks.race.log import Log
from benchmarks.race.peer import BF16, Watch, suggest, trainer
from benchmarks.race.rules import Rules


def search(rules: Rules, log: Log) -> None:
    """Search; evaluations are reported by their number, so that all trials compare."""
    _search(rules, log, more={})


def search_bf16(rules: Rules, log: Log) -> None:
    """The same, told to train in bfloat16."""
    _search(rules, log, more=BF16)


def _search(rules: Rules, log: Log, *, more: Mapping[str, Any]) -> None:
    torch.set_num_threads(max(1, rules.cores // rules.parallel))

    def objective(trial: optuna.Trial) -> float:
        scores: list[float] = []

        def seen(f1: float, count: int) -> None:
            scores.append(f1)
            log.evaluated(trial.number, f1)
            trial.report(f1, count)
            if trial.should_prune():
                raise optuna.TrialPruned

        params = {**suggest(trial), **more}
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
