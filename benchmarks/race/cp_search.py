"""`cp-search run` with its defaults, on a space file that says what is raced over.

The points it tries first are those that `cp-search init` writes for an encoder of this size (published
ones, chosen among by `benchmarks.first_points` on other rows than a race on 2,000 has); `search_blind` goes
without.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.race.log import Ended, Log
from benchmarks.race.rules import EFFECTIVE_BATCH, EVALUATION, LEARNING_RATE, WARMUP, WEIGHT_DECAY, Rules

_RULES = "CP_SEARCH_RACE"
#: how `Loop` says a run ended -> the log's word
_ENDS: dict[str, Ended] = {"completed": "finished", "stopped": "pruned"}


def search(rules: Rules, log: Log) -> None:
    """Run the command; its trials write the log themselves, through a callback."""
    _run(rules, log, enqueue=_known_good(rules))


def search_blind(rules: Rules, log: Log) -> None:
    """The same without known points, as the peers search."""
    _run(rules, log, enqueue=[])


def _run(rules: Rules, log: Log, *, enqueue: list[dict[str, Any]]) -> None:
    space = Path(rules.out) / "race.yaml"
    space.write_text(yaml.safe_dump({**_space(rules), "enqueue": enqueue}), encoding="utf-8")
    studies = Path(rules.out) / "studies"
    options = ["--no-finish", "--n-trials", str(rules.trials), "--time", f"{round(rules.seconds)}s"]
    options += ["--studies-dir", str(studies)]
    options += ["--rehearse", "--jobs", str(rules.parallel)] if rules.card else []
    subprocess.run(
        [sys.executable, "-m", "search.cli", "run", str(space), *options],
        env={**os.environ, _RULES: rules.dump()},
        check=True,
    )
    _log_memory_faults(f"sqlite:///{studies}/race.db", log)


def _space(rules: Rules) -> dict[str, Any]:
    space = {
        "name": "race",
        "base": "hyperparameter_search",
        "set": {
            "model.name": rules.model,
            "model.max_sequence_length": rules.length,
            "data.train_path": f"{rules.data}/train.jsonl",
            "data.val_path": f"{rules.data}/val.jsonl",
            "training.num_epochs": rules.epochs,
            "training.evaluations_per_epoch": rules.evaluations,
            "callbacks.custom": ["benchmarks.race.cp_search:Reporter"],
            "experiment.seed": rules.seed,  # as the peers' Trainers
        },
        "search": {
            "training.learning_rate": _floats(LEARNING_RATE, log=True),
            "training.effective_batch_size": {"type": "categorical", "choices": list(EFFECTIVE_BATCH)},
            "training.weight_decay": _floats(WEIGHT_DECAY),
            "training.warmup_ratio": _floats(WARMUP),
        },
        "seed": rules.seed,
    }
    return {**space, "card": rules.card} if rules.card else space


def _known_good(rules: Rules) -> list[dict[str, Any]]:
    """As in the file that `init` writes."""
    return [
        {
            "training.learning_rate": rate,
            "training.effective_batch_size": batch,
            "training.weight_decay": 0.01,
            "training.warmup_ratio": 0.1,
        }
        for rate, batch in rules.known
    ]


def _floats(ends: tuple[float, float], *, log: bool = False) -> dict[str, Any]:
    return {"type": "float", "low": ends[0], "high": ends[1], "log": log}


def _log_memory_faults(storage: str, log: Log) -> None:
    """Trials that no memory sufficed for: they end without a word to the callback."""
    import optuna  # not while the clock runs: the command has processes of its own

    for trial in optuna.load_study(study_name="race", storage=storage).trials:
        if trial.user_attrs.get("cause") == "oom":
            log.ended(trial.number, "oom")


class Reporter:
    """The callback of every trial; the rules come by environment."""

    def __init__(self) -> None:
        rules = Rules.load(os.environ[_RULES])
        self._log = Log(rules.log, started=rules.started)

    def on_evaluate(self, trainer: Any, *, metrics: dict[str, float], **_: Any) -> None:
        """An evaluation has its metrics."""
        self._log.evaluated(_number(trainer), metrics[EVALUATION])

    def on_train_end(self, trainer: Any, *, status: str, **_: Any) -> None:
        """The trial is over, unless it was only interrupted."""
        if status in _ENDS:
            self._log.ended(_number(trainer), _ENDS[status])


def _number(trainer: Any) -> int:
    """From the trial's directory, trial-0007."""
    return int(trainer.parts.experiment.directory.name.rsplit("-", 1)[-1])
