"""Ray Tune with ASHA: random configurations, one a core, the worse ones stopped at each rung."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from benchmarks.race.log import Log
from benchmarks.race.peer import Watch, trainer
from benchmarks.race.rules import EFFECTIVE_BATCH, LEARNING_RATE, WARMUP, WEIGHT_DECAY, Rules


def search(rules: Rules, log: Log) -> None:
    """Search in a Ray of its own on this machine."""
    ray.init(num_cpus=rules.cores, include_dashboard=False, log_to_driver=False)
    trial = tune.with_resources(
        tune.with_parameters(_trial, rules=rules), {"cpu": rules.cores // rules.parallel}
    )
    tune.Tuner(
        trial,
        param_space={
            "learning_rate": tune.loguniform(*LEARNING_RATE),
            "per_device_train_batch_size": tune.choice(EFFECTIVE_BATCH),
            "weight_decay": tune.uniform(*WEIGHT_DECAY),
            "warmup_steps": tune.uniform(*WARMUP),
        },
        tune_config=tune.TuneConfig(
            metric="f1_macro",
            mode="max",
            scheduler=ASHAScheduler(max_t=rules.evaluations_in_all, grace_period=1),
            search_alg=tune.search.BasicVariantGenerator(random_state=rules.seed),
            num_samples=rules.trials,
            time_budget_s=rules.seconds,
        ),
        run_config=tune.RunConfig(storage_path=str(Path(rules.out).resolve()), name="ray", verbose=0),
    ).fit()
    ray.shutdown()


def _trial(params: dict[str, Any], *, rules: Rules) -> None:
    """One trial, in a process of Ray's; an error fails it, and Ray goes on."""
    torch.set_num_threads(max(1, rules.cores // rules.parallel))
    log = Log(rules.log, started=rules.started)
    number = int(tune.get_context().get_trial_id().rsplit("_", 1)[-1])

    def seen(f1: float, _: int) -> None:
        log.evaluated(number, f1)
        tune.report({"f1_macro": f1})

    trainer(rules, log, number=number, params=params, callbacks=[Watch(seen)]).train()
