"""Figures that others measured on GPUs, with the software they measured, to judge the plan by.

Source: Hugging Face, "Methods and tools for efficient training on a single GPU".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from transformers import BertConfig

from trainer.memory.request import PlanRequest, Software, encoder_json

#: the guide's CUDA context on its V100; nvidia-smi, and so the guide, writes MB for MiB
CONTEXT_MIB = 1343


@dataclass(frozen=True)
class Published:
    """One row of the guide: nvidia-smi's total, in MiB."""

    setting: str
    device_mib: int
    request: PlanRequest


def published() -> list[Published]:
    """BERT-large (bert-large-uncased), sequence classification, 512 tokens, on a V100.

    The guide names no versions. Eager attention, the Trainer's own loop AdamW and zeroed gradients are those
    of its time (2021-22); that softmax kept its input (torch before 1.11) was adopted after seeing the
    misfit without it.
    """
    encoder = encoder_json(_bert_large())
    old = Software(old_softmax=True, workspace_bytes=0, primed=False, zeroed=True)
    four = PlanRequest(encoder, 4, 512, attention="eager", optimizer="adamw_old", software=old)
    one = replace(four, rows=1, accumulated=True)
    least = replace(one, checkpointing=True, precision="fp16")
    return [
        Published("batch 4", 14949, four),
        Published("batch 1, accumulation 4", 8681, one),
        Published("+ checkpointing", 6775, replace(one, checkpointing=True)),
        Published("batch 4, fp16", 13939, replace(four, precision="fp16")),
        Published("accumulation + checkpointing + fp16", 7275, least),
        Published("batch 4, Adafactor", 12295, replace(four, optimizer="adafactor_old")),
        Published("acc. + checkpointing + fp16 + Adafactor", 4847, replace(least, optimizer="adafactor_old")),
        Published("batch 4, 8-bit Adam", 13085, replace(four, optimizer="adamw8bit")),
        Published("acc. + checkpointing + fp16 + 8-bit Adam", 5363, replace(least, optimizer="adamw8bit")),
    ]


def _bert_large() -> BertConfig:
    """bert-large-uncased's config.json."""
    return BertConfig(
        vocab_size=30522,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
    )
