"""One optimizer step: an effective batch in micro-batches, clipped, applied once.

The memory planner traces these same functions under fake tensors; a change here changes the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from trainer.data.packs import PackedBatch
from trainer.loss import MultiTaskLoss
from trainer.model.classifier import Classifier
from trainer.optimizer import parameters_of
from trainer.processor import multiplies_bf16

if TYPE_CHECKING:
    from trainer.config.schema import Config
    from trainer.data.batches import Batch

#: oneDNN compiles a kernel for every shape of a bfloat16 product, and keeps 1,024 of them: few shapes are met
#: again. Flat between 64 and 256 for a 4-layer encoder (docs/decisions/0051)
BF16_TOKENS = 128


@dataclass(frozen=True)
class Precision:
    """Arithmetic of forward and backward: float32, or autocast to `dtype`."""

    device_type: str
    dtype: torch.dtype | None = None

    def autocast(self) -> AbstractContextManager[object]:
        """The context that forward runs in."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device_type, dtype=self.dtype)

    @property
    def name(self) -> str:
        """fp32, fp16 or bf16."""
        return {None: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}[self.dtype]

    @property
    def token_multiple(self) -> int:
        """What a pack's tokens are filled up to a multiple of: 1 in float32, which does not care."""
        return BF16_TOKENS if self.dtype == torch.bfloat16 else 1


def precision_for(config: Config, device_type: str, *, packs: bool) -> Precision:
    """What `config` asks for on a GPU. On a CPU any mixed precision is bfloat16, else it is float32.

    bfloat16 is for packs (`packs`: the model takes them) on a CPU with matrix units for it. Padded texts
    have too many shapes, and without the units it is slower than float32.
    """
    dtypes = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
    asked = dtypes[config.precision]
    if device_type == "cuda":
        return Precision(device_type, asked)
    mixed = asked is not None and packs and multiplies_bf16()
    return Precision(device_type, torch.bfloat16 if mixed else None)


@dataclass
class TrainStep:
    """The parts of a step. `skipped` counts updates that the fp16 scaler left out (not NaN losses)."""

    model: Classifier
    loss: MultiTaskLoss
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    precision: Precision
    max_grad_norm: float
    skipped: int = 0

    def gradients(self, micro_batches: Sequence[Batch | PackedBatch], totals: Sequence[float]) -> Tensor:
        """Accumulate the effective batch's gradient; returns its loss, detached (a scalar)."""
        losses = [self._backward(batch, totals) for batch in micro_batches]
        return torch.stack(losses).sum()

    def update(self) -> Tensor:
        """Clip, apply, and drop the gradients; returns their norm before clipping (a scalar)."""
        self.scaler.unscale_(self.optimizer)
        norm = clip_grad_norm_(parameters_of(self.optimizer), self.max_grad_norm)
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.skipped += self.scaler.get_scale() < scale
        self.forget()
        return norm

    def forget(self) -> None:
        """Drop the gradients, and their memory."""
        self.optimizer.zero_grad(set_to_none=True)

    def _backward(self, batch: Batch | PackedBatch, totals: Sequence[float]) -> Tensor:
        with self.precision.autocast():
            logits_BC = self._logits(batch)
        loss = self.loss(self.model.split(logits_BC), batch.labels_BT, totals)
        self.scaler.scale(loss).backward()
        detached: Tensor = loss.detach()
        return detached

    def _logits(self, batch: Batch | PackedBatch) -> Tensor:
        if isinstance(batch, PackedBatch):
            return self.model.packed(batch)
        logits_BC: Tensor = self.model(batch.ids_BL, batch.mask_BL)
        return logits_BC


def to_device(batch: Batch | PackedBatch, device: torch.device, *, pin: bool) -> Batch | PackedBatch:
    """`batch` on `device`; through page-locked memory, without waiting, where `pin` and a GPU are there.

    Packs are for the CPU and stay there.
    """
    if device.type == "cpu" or isinstance(batch, PackedBatch):
        return batch
    tensors = [batch.ids_BL, batch.mask_BL, batch.labels_BT]
    if pin:
        tensors = [tensor.pin_memory() for tensor in tensors]
    return type(batch)(*(tensor.to(device, non_blocking=pin) for tensor in tensors))
