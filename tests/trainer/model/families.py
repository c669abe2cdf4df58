"""Small random models of the families that are fine-tuned for Chinese, saved like downloaded ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertModel,
    DebertaV2Config,
    DebertaV2Model,
    ElectraConfig,
    ElectraModel,
    RobertaConfig,
    RobertaModel,
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
    "roberta": (RobertaConfig, RobertaModel, {}),
    "electra": (ElectraConfig, ElectraModel, {"embedding_size": 16}),
    "deberta-v2": (DebertaV2Config, DebertaV2Model, _DEBERTA),
}

NAMES = tuple(_FAMILIES)


def save_encoder(family: str, directory: Path, *, texts: list[str]) -> Path:
    """An encoder without a head, its weights wide enough for logits to differ between texts."""
    config_class, model_class, extra = _FAMILIES[family]
    tokenizer = tiny_tokenizer(texts)
    config = config_class(vocab_size=len(tokenizer), initializer_range=0.3, **_SHAPE, **extra)
    torch.manual_seed(5)
    model_class(config).save_pretrained(directory)
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(directory)
    return directory
