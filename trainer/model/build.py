"""From a configuration to a model and its tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from trainer.config.schema import Checkpointing, ModelConfig
from trainer.errors import ConfigError, ModelError, Problem
from trainer.model.classifier import OFFSET_POSITIONS, Classifier
from trainer.model.source import is_builtin, located
from trainer.model.tiny import tiny_config, tiny_tokenizer

if TYPE_CHECKING:
    from trainer.data.tasks import Task

#: what transformers' families call their dropout rates
_DROPOUTS = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),  # BERT and kin
    *("cls_dropout", "classifier_dropout_prob"),  # DeBERTa, ALBERT
    *("dropout", "attention_dropout", "seq_classif_dropout"),  # DistilBERT
)

#: families whose head `Classifier` can feed with another hidden state than the first token's
POOLED_FAMILIES = frozenset(
    {"bert", "roberta", "xlm-roberta", "camembert", "electra", "ernie", "deberta", "deberta-v2"}
)


def load_tokenizer(model: ModelConfig, *, texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """The model's tokenizer; a builtin model's is made from the training `texts`.

    Raises:
        ModelError: the directory or hub id has no usable fast tokenizer.
    """
    if is_builtin(model.name):
        return tiny_tokenizer(texts)
    try:
        tokenizer = AutoTokenizer.from_pretrained(located(model.name), use_fast=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"model.name: {model.name} has no usable tokenizer: {error}") from error
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # made up from config.json alone
        raise ModelError(f"model.name: {model.name} has no usable tokenizer: no vocabulary (tokenizer.json)")
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
    attention = "sdpa" if efficient_attention and has_efficient_attention(config) else "eager"
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if is_builtin(model.name):
        net = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention)
    else:
        net = _pretrained(model.name, config, attention)
    return Classifier(net, sizes=[len(task.classes) for task in tasks], pooling=model.pooling)


def has_efficient_attention(config: PreTrainedConfig) -> bool:
    """Whether the family has scaled-dot-product attention; DeBERTa's, for one, is its own."""
    return bool(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]._supports_sdpa)


def can_checkpoint(config: PreTrainedConfig) -> bool:
    """Whether transformers can recompute activations in backward for the family; not for ALBERT, for one."""
    return bool(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)].supports_gradient_checkpointing)


def require_checkpointing(config: PreTrainedConfig, setting: Checkpointing) -> None:
    """Check that the family can do what `setting` asks for.

    Raises:
        ConfigError: it cannot.
    """
    if setting and not can_checkpoint(config):
        text = (
            f"optimization.gradient_checkpointing: transformers has none for {config.model_type} models; "
            "set it to false"
        )
        raise ConfigError([Problem(None, text)])


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
    _check_shape(model, config, vocabulary_size=vocabulary_size)
    for key in _DROPOUTS:
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
        return AutoConfig.from_pretrained(located(name))
    except (OSError, ValueError) as error:
        raise ModelError(f"model.name: {name} has no usable config.json: {error}") from error


def _check_shape(model: ModelConfig, config: PreTrainedConfig, *, vocabulary_size: int | None) -> None:
    problems = []
    if model.pooling != "cls" and config.model_type not in POOLED_FAMILIES:
        problems.append(
            f"model.pooling {model.pooling} is not known for {config.model_type} models; use cls, or a model "
            f"of: {', '.join(sorted(POOLED_FAMILIES))}"
        )
    if vocabulary_size is not None and vocabulary_size > config.vocab_size:
        problems.append(
            f"model.name: the tokenizer of {model.name} has {vocabulary_size} tokens, its model only "
            f"{config.vocab_size}; they do not belong together"
        )
    if model.hidden_size is not None and model.hidden_size != config.hidden_size:
        problems.append(
            f"model.hidden_size is {model.hidden_size}, but {model.name} is {config.hidden_size} wide; "
            "remove the key or choose the model it was meant for"
        )
    positions = _positions(config)
    if positions and model.max_sequence_length > positions:
        problems.append(
            f"model.max_sequence_length is {model.max_sequence_length}, but {model.name} has only "
            f"{positions} positions"
        )
    if problems:
        raise ConfigError([Problem(None, text) for text in problems])


def _positions(config: PreTrainedConfig) -> int | None:
    """Longest text in tokens; RoBERTa counts positions from behind its padding id."""
    positions: int | None = getattr(config, "max_position_embeddings", None)
    if positions and config.model_type in OFFSET_POSITIONS:
        return positions - int(config.pad_token_id or 0) - 1
    return positions if positions and positions > 0 else None  # XLNet says -1


def _pretrained(name: str, config: PreTrainedConfig, attention: str) -> PreTrainedModel:
    arguments: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": attention}
    net: PreTrainedModel
    try:
        net, loading = AutoModelForSequenceClassification.from_pretrained(
            located(name), config=config, ignore_mismatched_sizes=True, output_loading_info=True, **arguments
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"model.name: {Path(name)} cannot be loaded: {error}") from error
    _require_encoder(name, net, loading)
    return net


def _require_encoder(name: str, net: PreTrainedModel, loading: Mapping[str, Any]) -> None:
    """A new head starts from random weights; an encoder that silently did would be no pretrained one."""
    absent = {*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])}
    prefix = f"{net.base_model_prefix}."
    encoder = sorted(
        key for key in absent if key.startswith(prefix) and not key.startswith(f"{prefix}pooler.")
    )
    if encoder:
        raise ModelError(
            f"model.name: the weights of {name} lack {len(encoder)} tensors of a {net.config.model_type} "
            f"encoder, or have them in another shape ({encoder[0]}, …); its config.json and weights do not "
            "belong together"
        )


def checkpoint_layers(net: PreTrainedModel, setting: Checkpointing) -> None:
    """Recompute in backward what the encoder layers would keep: of every layer, or of every other one."""
    if setting:
        every = 2 if setting == "selective" else 1
        net.activation_checkpointing_enable({"use_reentrant": False}, every_n_layers=every)
