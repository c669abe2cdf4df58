"""What of a CUDA device is not torch's to use, measured: its context, its kernels, other programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import nn

from trainer.memory.card import CardSpec, present_card

#: of the tiny model whose step loads the kernels that any training loads
WIDTH = 64
TOKENS = 16


class Device(Protocol):
    """A device as its driver and torch's allocator report it; sizes in bytes."""

    def total_and_free(self) -> tuple[int, int]:
        """Of the whole device, whoever uses it (cudaMemGetInfo)."""

    def reserved(self) -> int:
        """What torch's allocator holds in this process."""


@dataclass(frozen=True)
class CudaDevice:
    """CUDA device number `index`."""

    index: int

    def total_and_free(self) -> tuple[int, int]:
        """As torch.cuda.mem_get_info."""
        free, total = torch.cuda.mem_get_info(self.index)
        return total, free

    def reserved(self) -> int:
        """As torch.cuda.memory_reserved."""
        return int(torch.cuda.memory_reserved(self.index))


def measured_card(index: int = 0) -> CardSpec | None:
    """`present_card` with what is really beside torch's allocator, after one tiny step; None without a GPU.

    Creates a CUDA context in this process: call it where training runs.
    """
    spec = present_card(index)
    if spec is None:
        return None
    device = torch.device("cuda", index)
    return measured(spec, device=CudaDevice(index), step=lambda: tiny_step(device))


def device_for(card: CardSpec | None) -> CardSpec | None:
    """The CUDA device that work on `card` (None: any) would use, measured; None: it would use none."""
    if card is not None and card.virtual:
        return None
    return measured_card(card.index or 0 if card else 0)


def measured(spec: CardSpec, *, device: Device, step: Callable[[], None]) -> CardSpec:
    """`spec` with the reserve that `device` shows after `step`.

    Much of a context (kernels, cuBLAS) appears with the first step only, so it is taken after one. What
    other programs hold counts too: it is no more to be had than the context.
    """
    total, before = device.total_and_free()
    step()
    _, after = device.total_and_free()
    beside = total - min(before, after + device.reserved())
    return replace(spec, limit_bytes=total - beside, reserved_bytes=beside, assumed=False)


def tiny_step(device: torch.device) -> None:
    """A training step of a tiny encoder layer in float32 and in float16, then nothing of it is left."""
    layer = nn.TransformerEncoderLayer(WIDTH, nhead=2, dim_feedforward=WIDTH, batch_first=True).to(device)
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
    for half in (False, True):
        with torch.autocast(device.type, dtype=torch.float16, enabled=half):
            layer(torch.zeros(2, TOKENS, WIDTH, device=device)).float().sum().backward()
        nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
