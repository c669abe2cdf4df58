"""Figures that others measured of encoders in half precision, and the plan of the loop that they measured.

All come from one script, https://gist.github.com/fxmarty/7e75cc3942d6974e4849093ebea0a331, with which pull
requests of huggingface/transformers showed what memory-efficient attention saves: a model with its
language-model head, all of it in float16 (no autocast, no optimizer), is given random ids without padding;
`outputs.logits.sum()` goes backward; gradients are dropped at the start of each step, while the outputs of
the step before are still held. It reports max_memory_allocated in millions of bytes. This loop is repeated
here, under fake tensors.

What a fused kernel takes inside itself is not counted. Eager attention is that of today's transformers,
which does the same operations as that of the time; BertLMHeadModel is planned as BertForMaskedLM, of the same
parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import (
    AlbertConfig,
    AutoModelForMaskedLM,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.initialization import no_init_weights

from trainer.memory.allocator import Allocator, Change
from trainer.memory.card import CUBLAS_WORKSPACE
from trainer.memory.rehearsal import CudaMeter, Tape, undisturbed
from trainer.memory.request import Attention
from trainer.memory.semantics import cuda_semantics

#: a first step, and one that begins with what that left
STEPS = 2


@dataclass(frozen=True)
class Table:
    """One published table: rows of (batch, tokens, MB with eager attention, MB with sdpa), and its source."""

    name: str
    source: str
    conditions: str
    config: PreTrainedConfig
    rows: tuple[tuple[int, int, float, float], ...]

    def figures(self) -> Iterator[Figure]:
        """Every figure of the table."""
        for batch, tokens, eager, sdpa in self.rows:
            yield Figure(self, batch, tokens, "eager", eager)
            yield Figure(self, batch, tokens, "sdpa", sdpa)


@dataclass(frozen=True)
class Figure:
    """max_memory_allocated of one setting, in millions of bytes."""

    table: Table
    batch: int
    tokens: int
    attention: Attention
    megabytes: float

    @property
    def setting(self) -> str:
        """For a person."""
        return f"{self.table.name}, {self.batch} x {self.tokens}, {self.attention}"

    def planned_megabytes(self) -> float:
        """The same by plan; traces two steps."""
        tape = _traced(self)
        allocator = Allocator()
        for thread in (-1, -2):
            allocator.allocate(thread, CUBLAS_WORKSPACE)
        allocator.replay(tape)
        return allocator.peaks().allocated / 1e6


def tables() -> tuple[Table, ...]:
    """The published tables whose software, device and model are stated, or can be told from the script."""
    pulls = "https://github.com/huggingface/transformers/pull"
    return (
        Table(
            "bert-base-uncased",
            f"{pulls}/28802, and transformers' documentation of BERT",
            "A100-80GB, torch 2.2.0, BertLMHeadModel",
            BertConfig(),
            (
                (4, 256, 939.213, 764.834),
                (4, 512, 1970.447, 1227.162),
                (8, 256, 1594.295, 1226.114),
                (8, 512, 3629.401, 2134.262),
                (16, 256, 2874.426, 2134.262),
                (16, 512, 6964.659, 3961.013),
            ),
        ),
        Table(
            "distilbert-base-uncased",
            "transformers' documentation of DistilBERT",
            "RTX 2060, torch 2.3.1, DistilBertForMaskedLM",
            DistilBertConfig(),
            (
                (1, 128, 397.038, 399.629),
                (1, 256, 412.505, 412.606),
                (2, 128, 412.213, 412.606),
                (2, 256, 427.491, 425.787),
                (4, 128, 427.491, 425.787),
                (4, 256, 594.156, 502.745),
                (8, 128, 545.922, 502.745),
                (8, 256, 983.450, 798.480),
            ),
        ),
        Table(
            "albert-base-v2",
            f"{pulls}/32092, comment of 2024-07-20",
            "device and torch not stated, AlbertForMaskedLM",
            AlbertConfig(
                hidden_size=768, num_attention_heads=12, intermediate_size=3072, hidden_act="gelu_new"
            ),
            (
                (1, 256, 234.781, 217.758),
                (1, 512, 454.029, 378.171),
                (2, 256, 416.281, 378.171),
                (2, 512, 868.131, 717.332),
                (4, 256, 794.206, 717.332),
                (4, 512, 1664.025, 1363.268),
            ),
        ),
        Table(
            "electra-base-discriminator",
            f"{pulls}/37106",
            "device and torch not stated, ElectraForMaskedLM",
            ElectraConfig(
                embedding_size=768, hidden_size=768, num_attention_heads=12, intermediate_size=3072
            ),
            (
                (2, 32, 568.647, 566.126),
                (2, 64, 572.187, 570.846),
                (2, 128, 588.412, 587.232),
                (2, 256, 631.001, 602.644),
            ),
        ),
    )


def _traced(figure: Figure) -> list[Change]:
    """Allocations and frees of the model and of the steps of its loop."""
    tape = Tape()
    with undisturbed(), FakeTensorMode(), cuda_semantics():
        model = _model(figure)
        with CudaMeter(sink=tape.write) as meter:
            meter.count([*model.parameters(), *model.buffers()])
            _loop(model, torch.zeros((figure.batch, figure.tokens), dtype=torch.int64))
    return tape.changes


def _model(figure: Figure) -> PreTrainedModel:
    with no_init_weights():
        model: PreTrainedModel = AutoModelForMaskedLM.from_config(
            figure.table.config, attn_implementation=figure.attention, dtype=torch.float16
        )
    model.tie_weights()
    return model.train()


def _loop(model: PreTrainedModel, ids_BL: torch.Tensor) -> None:
    """The script's loop; `outputs` and `loss` live until the next step has made its own."""
    for _ in range(STEPS):
        model.zero_grad()
        outputs = model(input_ids=ids_BL)
        loss = outputs.logits.sum()
        loss.backward()
