"""The stages of a run before the last one, which is the configuration itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from trainer.config.schema import Config, EarlierStage, PretrainConfig, StrategyConfig
from trainer.errors import ConfigError, Problem
from trainer.model.source import is_builtin

#: section -> key -> value
Changes = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Stage:
    """One stage: what a person is told of it, and a configuration that could be run by itself."""

    title: str
    config: Config


def earlier_stages(config: Config) -> tuple[Stage, ...]:
    """The stages that come first, each beginning where the one before was best; empty: there is no strategy.

    Raises:
        ConfigError: stages that are none, or that this model cannot be taken through.
    """
    strategy = config.strategy
    if problems := list(_problems(config)):
        raise ConfigError([Problem(None, text) for text in problems])
    if strategy.two_stage is not None:
        return (_pretraining(config, strategy.two_stage),)
    return tuple(_smaller(config, stage, number) for number, stage in enumerate(strategy.progressive, 1))


def _problems(config: Config) -> Iterator[str]:
    extents = [_extent(config, stage) for stage in (*config.strategy.progressive, EarlierStage())]
    for number, (this, following) in enumerate(pairwise(extents), start=1):
        if this == following or any(now > then for now, then in zip(this, following, strict=True)):
            last = "the run itself" if number == len(extents) - 1 else f"stage {number + 1}"
            yield (
                f"strategy.progressive: stage {number} ({_said(this)}) must have shorter texts or fewer "
                f"trained layers than {last} ({_said(following)}), and more of neither"
            )
    if config.strategy.two_stage and is_builtin(config.model.name):
        yield (
            f"strategy.two_stage: {config.model.name} takes its vocabulary from the training rows, and two "
            "files give two; name a model that has a tokenizer of its own"
        )


def _extent(config: Config, stage: EarlierStage) -> tuple[int, float]:
    """(tokens of a text, trained layers) of `stage`; of one that says nothing, the configuration's own."""
    layers = config.training.trained_layers if stage.trained_layers is None else stage.trained_layers
    length = stage.max_sequence_length or config.model.max_sequence_length
    return length, math.inf if layers is None else layers


def _said(extent: tuple[int, float]) -> str:
    length, layers = extent
    return f"{length} tokens, {'all' if layers == math.inf else layers} layers"


def _smaller(config: Config, stage: EarlierStage, number: int) -> Stage:
    changes: Changes = {"model": {}, "training": {"num_epochs": stage.num_epochs}}
    parts = []
    if stage.trained_layers is not None:
        changes["training"]["trained_layers"] = stage.trained_layers
        parts.append(_top(stage.trained_layers))
    if stage.max_sequence_length is not None:
        changes["model"]["max_sequence_length"] = stage.max_sequence_length
        parts.append(f"texts of at most {stage.max_sequence_length} tokens")
    title = ", ".join([*parts, _epochs(stage.num_epochs)])
    return Stage(title, _standing_alone(config, changes, number=number))


def _pretraining(config: Config, pretrain: PretrainConfig) -> Stage:
    epochs = pretrain.num_epochs or config.training.num_epochs
    rate = pretrain.learning_rate or config.training.learning_rate
    changes: Changes = {
        "model": {"num_labels": pretrain.num_labels or config.model.num_labels},
        "data": {"train_path": pretrain.train_path, "val_path": pretrain.val_path},
        "training": {"num_epochs": epochs, "learning_rate": rate},
        # The watched metric may be one of a task that the other file has not.
        "callbacks": {"early_stopping_metric": "eval_f1_macro", "early_stopping_mode": "max"},
    }
    title = f"pre-training on {pretrain.train_path}, {_epochs(epochs)}"
    return Stage(title, _standing_alone(config, changes, number=1))


def _standing_alone(config: Config, changes: Changes, *, number: int) -> Config:
    """`config` with `changes`, as a run whose only purpose is its best weights.

    The seed moves with the stage, or every stage would see the rows in the same order.
    """
    always: Changes = {
        "data": {"test_path": None},
        "callbacks": {"tensorboard_log_dir": None, "save_top_k": 1, "save_best_only": True},
        "experiment": {
            "seed": (config.experiment.seed + number) % 2**32,
            "resume_from_checkpoint": None,
            "save_final_model": True,
            "save_predictions": False,
        },
    }
    sections = {
        name: getattr(config, name).model_copy(update={**always.get(name, {}), **changes.get(name, {})})
        for name in always.keys() | changes.keys()
    }
    return config.model_copy(update={**sections, "strategy": StrategyConfig()})


def _top(layers: int) -> str:
    return f"the heads and the top {layers} layer{'s' if layers > 1 else ''}" if layers else "the heads alone"


def _epochs(count: int) -> str:
    return f"{count} epoch{'s' if count > 1 else ''}"
