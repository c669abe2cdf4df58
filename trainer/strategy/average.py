"""A run that trains nothing: it averages the probabilities of finished runs, and leaves that as its model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer.config.schema import Config
from trainer.data.splits import Rows, RowSet, read_rows
from trainer.data.tasks import Task
from trainer.ensemble import EnsemblePredictor, export_ensemble
from trainer.errors import ConfigError, Problem, UserError
from trainer.experiment import Experiment
from trainer.export import tasks_of
from trainer.loss import MultiTaskLoss
from trainer.metrics import Scores, score
from trainer.outcome import Outcome
from trainer.predict import Probabilities
from trainer.site import Site
from trainer.summary import Result, summary_of

MODEL = "model"

#: texts on which the members, once exported, must say what was trained
_CHECKED_TEXTS = 64

#: what a probability of 0 counts as in the loss, which is infinite there
_LEAST = 1e-12


@dataclass(frozen=True)
class _Measured:
    loss: float
    scores: Scores


def average_runs(config: Config, *, home: Path, site: Site) -> Outcome:
    """Average `config.strategy.ensemble` and score the whole as a run's best evaluation would be.

    Leaves in `home` config.yaml, metrics.json, training_summary.json, and model/, which `predict` loads.

    Raises:
        UserError: a member is no finished run, or one of other tasks than the data's.
    """
    begun = time.monotonic()
    runs = [Path(member).expanduser() for member in config.strategy.ensemble]
    rows = read_rows(config)
    _require_finished(runs)
    experiment = Experiment(home, config)
    experiment.begin()
    site.say(f"Averaging {len(runs)} runs; nothing is trained")
    predictor = _averaged(runs, rows, to=home / MODEL, site=site)
    metrics, validation = _validated(predictor, rows)
    experiment.write_history([{"evaluation": 1, "step": 0, "epoch": 0, **metrics}])
    test = _tested(predictor, rows)
    result = Result(0, time.monotonic() - begun, 1, metrics, validation, test)
    members = {"strategy": "ensemble", "members": [str(run) for run in runs]}
    experiment.write_summary(summary_of(result, rows) | members)
    site.say(f"eval_loss {metrics['eval_loss']:.4f} | eval_f1_macro {metrics['eval_f1_macro']:.4f}")
    return _outcome(home, result)


def _averaged(runs: Sequence[Path], rows: RowSet, *, to: Path, site: Site) -> EnsemblePredictor:
    export_ensemble(runs, to=to, texts=rows.val.table.texts[:_CHECKED_TEXTS], site=site)
    predictor = EnsemblePredictor(to, site=site)
    _require_tasks(predictor, rows.tasks)
    return predictor


def _validated(predictor: EnsemblePredictor, rows: RowSet) -> tuple[dict[str, float], dict[str, Any]]:
    """The scalars and the scores of the validation rows."""
    found = _measure(predictor, rows.val, tasks=rows.tasks)
    return {"eval_loss": found.loss, **found.scores.flat("eval")}, found.scores.as_dict()


def _outcome(home: Path, result: Result) -> Outcome:
    paths = {"config": "config.yaml", "metrics": "metrics.json", "summary": "training_summary.json"}
    return Outcome(
        status="completed",
        directory=str(home),
        best_metrics=dict(result.best_metrics),
        best_step=result.best_evaluation,
        seconds=result.seconds,
        paths={**paths, "model": MODEL},
        test=dict(result.test),
    )


def _require_finished(runs: Sequence[Path]) -> None:
    """Before anything is written: a model that averages what is not there would be half a model."""
    problems = []
    for run in runs:
        try:
            tasks_of(run)
        except UserError as error:
            problems.append(Problem(None, f"strategy.ensemble: {error}"))
    if len(runs) < 2:
        problems.append(Problem(None, "strategy.ensemble: an average needs two runs or more"))
    if problems:
        raise ConfigError(problems)


def _require_tasks(predictor: EnsemblePredictor, tasks: Sequence[Task]) -> None:
    expected = {task.name: list(task.classes) for task in tasks}
    if predictor.tasks != expected:
        message = (
            f"strategy.ensemble: the members answer {predictor.tasks}, the data asks for {expected}; "
            "name data with the members' labels"
        )
        raise ConfigError([Problem(None, message)])


def _tested(predictor: EnsemblePredictor, rows: RowSet) -> dict[str, Any]:
    if rows.test is None:
        return {}
    found = _measure(predictor, rows.test, tasks=rows.tasks)
    return {"loss": found.loss, **found.scores.as_dict()}


def _measure(predictor: EnsemblePredictor, rows: Rows, *, tasks: Sequence[Task]) -> _Measured:
    probabilities = predictor.probabilities(rows.table.texts)
    predicted_NT = np.stack([probabilities[task.name].argmax(axis=1) for task in tasks], axis=1)
    loss = _loss(probabilities, rows, tasks)
    return _Measured(loss, score(predicted_NT.astype(np.int64), rows.labels_NT, tasks=tasks))


def _loss(probabilities: Probabilities, rows: Rows, tasks: Sequence[Task]) -> float:
    """As of any evaluation, without class weights: the logarithms of probabilities are logits too."""
    loss = MultiTaskLoss(tasks, weights=[[1.0] * len(task.classes) for task in tasks], label_smoothing=0.0)
    logits = [torch.from_numpy(probabilities[task.name]).clamp_min(_LEAST).log() for task in tasks]
    return float(loss(logits, torch.from_numpy(rows.labels_NT), loss.totals(rows.labels_NT)))
