"""Small random models of the families that are fine-tuned for Chinese, saved like downloaded ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertModel,
    CamembertConfig,
    CamembertModel,
    DebertaV2Config,
    DebertaV2Model,
    ElectraConfig,
    ElectraModel,
    ErnieConfig,
    ErnieModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from trainer.model.tiny import tiny_tokenizer

_SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 66,
    "pad_token_id": 0,
}

_DEBERTA = {
    "relative_attention": True,
    "position_buckets": 16,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "pooler_hidden_size": 32,
}

_FAMILIES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "bert": (BertConfig, BertModel, {}),
    "camembert": (CamembertConfig, CamembertModel, {}),
    "ernie": (ErnieConfig, ErnieModel, {"use_task_id": True}),
    "roberta": (RobertaConfig, RobertaModel, {}),
    "xlm-roberta": (XLMRobertaConfig, XLMRobertaModel, {}),
    "electra": (ElectraConfig, ElectraModel, {"embedding_size": 16}),
    "deberta-v2": (DebertaV2Config, DebertaV2Model, _DEBERTA),
}

NAMES = tuple(_FAMILIES)


def family_config(family: str, *, vocabulary_size: int = 60) -> Any:
    """A small configuration of `family`."""
    config_class, _, extra = _FAMILIES[family]
    return config_class(vocab_size=vocabulary_size, initializer_range=0.3, **_SHAPE, **extra)


def save_encoder(family: str, directory: Path, *, texts: list[str]) -> Path:
    """An encoder without a head, its weights wide enough for logits to differ between texts."""
    tokenizer = tiny_tokenizer(texts)
    config = family_config(family, vocabulary_size=len(tokenizer))
    torch.manual_seed(5)
    _FAMILIES[family][1](config).save_pretrained(directory)
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(directory)
    return directory
