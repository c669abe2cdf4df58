"""Everything about a run that can be checked before anything is written or trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.callbacks import load_callbacks
from trainer.config.schema import Config
from trainer.config.yaml import closest
from trainer.data.batches import effective_batches
from trainer.data.splits import RowSet, read_rows
from trainer.errors import ConfigError, Problem
from trainer.loggers import require_loggers
from trainer.metrics import score
from trainer.model.build import encoder_config, load_tokenizer, require_checkpointing
from trainer.model.layers import require_layers
from trainer.model.source import require_model
from trainer.optimizer import require_optimizer
from trainer.selection import NEWEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerFast

    from trainer.data.tasks import Task


@dataclass(frozen=True)
class Preparation:
    """Rows, tokenizer and callbacks of a run whose configuration was found sound."""

    config: Config
    rows: RowSet
    tokenizer: PreTrainedTokenizerFast
    callbacks: list[object]


def prepare(config: Config) -> Preparation:
    """Read what the run needs.

    Raises:
        UserError: configuration, data or model cannot be used.
    """
    require_model(config.model.name)
    rows = read_rows(config)
    _require_metric(config.callbacks.early_stopping_metric, rows.tasks)
    _require_batches(config, len(rows.train.table))
    require_optimizer(config)
    require_loggers(config.callbacks.loggers)
    callbacks = load_callbacks(config.callbacks.custom)
    tokenizer = load_tokenizer(config.model, texts=rows.train.table.texts)
    encoder = encoder_config(config.model, tasks=rows.tasks, vocabulary_size=len(tokenizer))
    require_checkpointing(encoder, config.optimization.gradient_checkpointing)
    require_layers(encoder, config.training.trained_layers)
    return Preparation(config, rows, tokenizer, callbacks)


def measured_names(tasks: Sequence[Task]) -> list[str]:
    """Metrics that every evaluation of `tasks` measures."""
    empty = np.zeros((0, len(tasks)), dtype=np.int64)
    scores = score(empty, empty, tasks=tasks).flat("eval")
    return ["train_loss", "eval_loss", "learning_rate", *scores]


def _require_metric(metric: str, tasks: Sequence[Task]) -> None:
    names = [*measured_names(tasks), NEWEST]
    if metric not in names:
        near = closest(metric, names)
        hint = f"did you mean {near}?" if near else f"measured are: {', '.join(names)}"
        message = f"callbacks.early_stopping_metric: {metric} is not measured; {hint}"
        raise ConfigError([Problem(None, message)])


def _require_batches(config: Config, rows: int) -> None:
    effective_batches(
        rows,
        size=config.effective_batch_size,
        seed=config.experiment.seed,
        epoch=0,
        drop_last=config.training.dataloader_drop_last,
    )
