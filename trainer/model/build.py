"""From a configuration to a model and its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from trainer.config.schema import ModelConfig
from trainer.errors import ConfigError, ModelError, Problem
from trainer.model.classifier import Classifier
from trainer.model.source import is_builtin
from trainer.model.tiny import tiny_config, tiny_tokenizer

if TYPE_CHECKING:
    from trainer.data.tasks import Task


def load_tokenizer(model: ModelConfig, *, texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """The model's tokenizer; a builtin model's is made from the training `texts`.

    Raises:
        ModelError: the directory or hub id has no usable fast tokenizer.
    """
    if is_builtin(model.name):
        return tiny_tokenizer(texts)
    try:
        tokenizer = AutoTokenizer.from_pretrained(model.name, use_fast=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"model.name: {model.name} has no usable tokenizer: {error}") from error
    if not tokenizer.is_fast:
        raise ModelError(f"model.name: {model.name} has only a slow tokenizer; a tokenizer.json is needed")
    return tokenizer


def build_model(
    model: ModelConfig, *, tasks: Sequence[Task], vocabulary_size: int, efficient_attention: bool = True
) -> Classifier:
    """The classifier on the CPU in float32, whatever type the checkpoint was stored in.

    Weights that the checkpoint lacks (the head) come from torch's global generator: seed it first.

    Raises:
        ModelError: the checkpoint cannot be loaded. ConfigError: it contradicts `model`.
    """
    config = encoder_config(model, tasks=tasks, vocabulary_size=vocabulary_size)
    attention = "sdpa" if efficient_attention else "eager"
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if is_builtin(model.name):
        net = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention)
    else:
        net = _pretrained(model.name, config, attention)
    return Classifier(net, sizes=[len(task.classes) for task in tasks], pooling=model.pooling)


def empty_model(model: ModelConfig, *, tasks: Sequence[Task], vocabulary_size: int) -> Classifier:
    """The same architecture as `build_model`'s with random weights: to load trained ones into."""
    config = encoder_config(model, tasks=tasks, vocabulary_size=vocabulary_size)
    net = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    return Classifier(net, sizes=[len(task.classes) for task in tasks], pooling=model.pooling)


def encoder_config(
    model: ModelConfig, *, tasks: Sequence[Task], vocabulary_size: int | None = None
) -> PreTrainedConfig:
    """The transformers configuration of `model` with this run's labels and dropout; loads no weights."""
    config = _base_config(model.name, vocabulary_size)
    _check_shape(model, config)
    for key in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "cls_dropout"):
        if hasattr(config, key):
            setattr(config, key, model.dropout_rate)
    labels = label_names(tasks)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}
    config.problem_type = "single_label_classification"
    return config


def label_names(tasks: Sequence[Task]) -> list[str]:
    """One name per logit: the class for a single task, task/class for several."""
    if len(tasks) == 1:
        return list(tasks[0].classes)
    return [f"{task.name}/{name}" for task in tasks for name in task.classes]


def _base_config(name: str, vocabulary_size: int | None) -> PreTrainedConfig:
    if is_builtin(name):
        if vocabulary_size is None:
            raise ModelError(f"{name} takes its vocabulary from the training texts; none were given")
        return tiny_config(vocabulary_size)
    try:
        return AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ModelError(f"model.name: {name} has no usable config.json: {error}") from error


def _check_shape(model: ModelConfig, config: PreTrainedConfig) -> None:
    problems = []
    if model.hidden_size is not None and model.hidden_size != config.hidden_size:
        problems.append(
            f"model.hidden_size is {model.hidden_size}, but {model.name} is {config.hidden_size} wide; "
            "remove the key or choose the model it was meant for"
        )
    positions = getattr(config, "max_position_embeddings", None)
    if positions and model.max_sequence_length > positions:
        problems.append(
            f"model.max_sequence_length is {model.max_sequence_length}, but {model.name} has only "
            f"{positions} positions"
        )
    if problems:
        raise ConfigError([Problem(None, text) for text in problems])


def _pretrained(name: str, config: PreTrainedConfig, attention: str) -> PreTrainedModel:
    arguments: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": attention}
    try:
        net: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            name, config=config, ignore_mismatched_sizes=True, **arguments
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"model.name: {Path(name)} cannot be loaded: {error}") from error
    return net
