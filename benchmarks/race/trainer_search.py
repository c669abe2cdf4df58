"""`transformers.Trainer.hyperparameter_search` with Optuna: one trial at a time, on all cores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
import torch

from benchmarks.race.log import Log
from benchmarks.race.peer import BF16, Watch, suggest, trainer
from benchmarks.race.rules import EVALUATION, Rules


def search(rules: Rules, log: Log) -> None:
    """Search; an out-of-memory error fails its trial (without `catch` it would end the study)."""
    _search(rules, log, params={})


def search_bf16(rules: Rules, log: Log) -> None:
    """The same, told to train in bfloat16 (its default is float32, also on a CPU that has units for it)."""
    _search(rules, log, params=BF16)


def _search(rules: Rules, log: Log, *, params: Mapping[str, Any]) -> None:
    torch.set_num_threads(rules.cores)
    racer = trainer(rules, log, number=0, params=params)
    racer.add_callback(Watch(lambda f1, _: log.evaluated(racer.number, f1)))
    racer.hyperparameter_search(
        hp_space=suggest,
        compute_objective=lambda metrics: metrics[EVALUATION],
        n_trials=rules.trials,
        timeout=rules.seconds,
        direction="maximize",
        backend="optuna",
        sampler=optuna.samplers.TPESampler(seed=rules.seed),
        pruner=optuna.pruners.MedianPruner(),
        catch=(torch.OutOfMemoryError,),
    )
