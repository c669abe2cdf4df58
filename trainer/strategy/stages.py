"""The stages of a run before the last one, which is the configuration itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    return tuple(_shorter(config, stage, number) for number, stage in enumerate(strategy.progressive, 1))


def _problems(config: Config) -> Iterator[str]:
    lengths = [stage.max_sequence_length for stage in config.strategy.progressive]
    full = config.model.max_sequence_length
    if lengths and not _rising([*lengths, full]):
        shown = ", ".join(map(str, lengths))
        yield (
            f"strategy.progressive: the lengths {shown} must rise, and stay below model.max_sequence_length "
            f"({full}), which is the last stage's"
        )
    if config.strategy.two_stage and is_builtin(config.model.name):
        yield (
            f"strategy.two_stage: {config.model.name} takes its vocabulary from the training rows, and two "
            "files give two; name a model that has a tokenizer of its own"
        )


def _rising(numbers: Sequence[int]) -> bool:
    return all(first < second for first, second in pairwise(numbers))


def _shorter(config: Config, stage: EarlierStage, number: int) -> Stage:
    title = f"texts of at most {stage.max_sequence_length} tokens, {_epochs(stage.num_epochs)}"
    changes: Changes = {
        "model": {"max_sequence_length": stage.max_sequence_length},
        "training": {"num_epochs": stage.num_epochs},
    }
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


def _epochs(count: int) -> str:
    return f"{count} epoch{'s' if count > 1 else ''}"
