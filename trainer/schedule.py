"""The learning rate over optimizer steps: linear warmup, then the configured shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from trainer.config.schema import Config, Scheduler, TrainingConfig

#: power of the polynomial decay; 1 would be linear, 2 falls faster early on
POLYNOMIAL_POWER = 2.0


def rate_factor(step: int, *, total: int, warmup: int, shape: Scheduler) -> float:
    """Factor on the peak rate for optimizer step `step` (from 0) of `total`; 1 at the end of warmup.

    The first step is 1/warmup, not 0: a step at rate zero would be wasted.
    """
    if step < warmup:
        return (step + 1) / warmup
    left = (total - step) / max(1, total - warmup)
    if shape == "constant":
        return 1.0
    if shape == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * (1.0 - max(0.0, left))))
    return math.pow(max(0.0, left), POLYNOMIAL_POWER if shape == "polynomial" else 1.0)


def total_steps(config: Config, *, rows: int) -> int:
    """Optimizer steps of a whole run over `rows` training rows."""
    full, rest = divmod(rows, config.effective_batch_size)
    per_epoch = full if config.training.dataloader_drop_last else full + (rest > 0)
    return per_epoch * config.training.num_epochs


def rate_factors(training: TrainingConfig, *, total: int) -> Callable[[int], float]:
    """Optimizer step (from 0) -> factor on the peak rate, in a run of `total` steps."""
    warmup = round(total * training.warmup_ratio)
    return partial(rate_factor, total=total, warmup=warmup, shape=training.lr_scheduler)


def build_schedule(optimizer: Optimizer, training: TrainingConfig, *, total_steps: int) -> LambdaLR:
    """A scheduler to be stepped once per optimizer step."""
    return LambdaLR(optimizer, rate_factors(training, total=total_steps))
