"""Encoders and requests that the tests of the planner share."""

from __future__ import annotations

from transformers import BertConfig

from trainer.memory.request import PlanRequest, encoder_json


def bert(*, layers: int = 2, width: int = 128, vocabulary: int = 1000) -> BertConfig:
    """A BERT of any size; heads are 64 wide or, below 128, 32."""
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // (64 if width > 128 else 32)),
        intermediate_size=4 * width,
    )


def small_request(rows: int = 4, length: int = 32) -> PlanRequest:
    """A step of a two-layer BERT."""
    return PlanRequest(encoder_json(bert()), rows, length)
