"""Which evaluation is the best so far, and whose weights stay on disk."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from trainer.checkpoint import Progress, kept_by, save_checkpoint
from trainer.config.schema import Config
from trainer.errors import NonFinite

#: a metric that is always best at the newest evaluation, for runs without rows to choose on
NEWEST = "evaluation"

#: directories this module makes, and may drop
_OURS = re.compile(r"(best|evaluation)-\d+")


class Selection:
    """Judges evaluations by `early_stopping_metric` and keeps the weights of the `save_top_k` best.

    With `save_best_only` off the weights of every evaluation stay. While a run lasts the best
    evaluation's are there, also for `save_top_k: 0`, wherever the run's end `needs_best`.
    """

    def __init__(self, config: Config, *, checkpoints: Path) -> None:
        callbacks = config.callbacks
        self.metric = callbacks.early_stopping_metric
        self._sign = 1 if callbacks.early_stopping_mode == "max" else -1
        self._top_k = callbacks.save_top_k
        self._all = not callbacks.save_best_only
        self._least = 1 if needs_best(config) else 0
        self._checkpoints = checkpoints

    def judge(self, progress: Progress, metrics: dict[str, float], *, scores: dict[str, Any]) -> None:
        """Note in `progress` whether its newest evaluation is the best so far.

        Raises:
            NonFinite: the watched metric or the loss is not a number: the weights are worthless.
        """
        for name in sorted({self.metric, "eval_loss"} - {NEWEST}):
            if not math.isfinite(metrics[name]):
                raise NonFinite(_not_finite(name, progress, metrics))
        value = self.watched(progress, metrics)
        progress.stale += 1
        if progress.best_value is None or self._sign * value > self._sign * progress.best_value:
            progress.best_value, progress.best_step = value, progress.evaluations
            progress.best_metrics, progress.best_scores = metrics, scores
            progress.stale = 0

    def watched(self, progress: Progress, metrics: Mapping[str, float]) -> float:
        """What the newest evaluation is judged by."""
        return float(progress.evaluations) if self.metric == NEWEST else metrics[self.metric]

    def keep(self, progress: Progress, value: float, *, model: nn.Module) -> None:
        """Write the newest evaluation's weights if they are to stay; drop what no longer is."""
        name = self._name(progress.evaluations)
        ranked = sorted([*progress.kept.items(), (name, value)], key=lambda item: -self._sign * item[1])
        staying = dict(ranked if self._all else ranked[: max(self._least, self._top_k)])
        if name in staying:
            save_checkpoint(self._checkpoints / name, model=model, progress=progress, state=None)
        progress.kept = staying
        self.settle(progress)

    def best(self, progress: Progress) -> Path | None:
        """Checkpoint of the best evaluation; None if it was not kept or there was no evaluation."""
        name = self._name(progress.best_step or 0)
        return self._checkpoints / name if name in progress.kept else None

    def close(self, progress: Progress) -> None:
        """The run is complete and will not be resumed: leave exactly what the configuration asks for."""
        if not self._all:
            progress.kept = dict(list(progress.kept.items())[: self._top_k])
        self.settle(progress)

    def settle(self, progress: Progress) -> None:
        """Drop checkpoints that neither `progress` nor a resumed run would need.

        A crash leads back to `last` or `previous`: what they keep must stay until they are replaced.
        """
        needed = kept_by(self._checkpoints) | set(progress.kept)
        for path in list(self._checkpoints.iterdir()):
            if _OURS.fullmatch(path.name) and path.name not in needed:
                shutil.rmtree(path)

    def _name(self, evaluation: int) -> str:
        return f"{'evaluation' if self._all else 'best'}-{evaluation:03d}"


def needs_best(config: Config) -> bool:
    """Whether the best evaluation's weights are used once the training has ended."""
    experiment = config.experiment
    return experiment.save_final_model or experiment.save_predictions or config.data.test_path is not None


def _not_finite(name: str, progress: Progress, metrics: Mapping[str, float]) -> str:
    return (
        f"{name} is {metrics[name]} at evaluation {progress.evaluations}, step {progress.step}, "
        f"learning rate {metrics['learning_rate']:.3g}"
    )
