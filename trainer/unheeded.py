"""Settings that have no effect in this run, or one nobody may expect: none is passed over in silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainer.config.schema import Config, DataConfig
from trainer.model.source import exportable
from trainer.processor import multiplies_bf16

#: cpu: no card limits the run; virtual: the CPU plays one; cuda: a real one
HOST = frozenset({"cpu"})
VIRTUAL = frozenset({"virtual"})
NO_GPU = HOST | VIRTUAL
EVERYWHERE = NO_GPU | {"cuda"}


@dataclass(frozen=True)
class Rule:
    """A key that `devices` do not heed when `asks(value)`, and why."""

    devices: frozenset[str]
    asks: Callable[[Any], bool]
    why: str


def _true(value: Any) -> bool:
    return value is True


def rules() -> dict[str, Rule]:
    """Key path -> when it has no effect. pin_memory is not among them: nothing a CPU does not do is lost."""
    float32 = VIRTUAL if multiplies_bf16() else NO_GPU
    return {
        "training.fp16": Rule(float32, _true, "arithmetic on the CPU is float32"),
        "training.bf16": Rule(float32, _true, "arithmetic on the CPU is float32"),
        "training.auto_batch_size": Rule(HOST, _true, "no card limits the micro-batch here"),
        "optimization.cpu_offload": Rule(HOST, _true, "all of it is in CPU memory here"),
        "data.num_workers": Rule(
            EVERYWHERE,
            lambda value: value > 0,
            "the tokenizer's own threads make tokens, one for each core, and batches need none",
        ),
        "data.prefetch_factor": Rule(
            EVERYWHERE,
            lambda value: value != DataConfig().prefetch_factor,
            "batches are made when they are needed",
        ),
    }


def unexportable_settings(config: Config) -> list[str]:
    """A line for a setting whose model trains, but cannot be exported."""
    name, pooling = config.model.name, config.model.pooling
    if exportable(name, pooling=pooling):
        return []
    return [
        f"model.pooling {pooling}: {name} trained so cannot be exported to plain transformers; "
        "cls can, and mean of the BERT family"
    ]


def unheeded_settings(config: Config, *, device: str) -> list[str]:
    """One line for every setting that this run will not honour as written.

    device: cpu, virtual or cuda.
    """
    lines = []
    for path, rule in rules().items():
        section, _, key = path.partition(".")
        value = getattr(getattr(config, section), key)
        if device in rule.devices and rule.asks(value):
            lines.append(f"{path} is not used: {rule.why}")
    if device in HOST and config.training.fp16 and multiplies_bf16():
        lines.append(
            "training.fp16: on this CPU, which has AMX, it is bfloat16 for encoders that take packs; "
            "false keeps float32"
        )
    return lines
