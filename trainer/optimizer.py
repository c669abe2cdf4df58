"""The optimizer: parameter groups, layer-wise rates, and a state that is allocated before it is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.optim import Adafactor, AdamW, Optimizer

from trainer.config.schema import Config
from trainer.model.classifier import Classifier
from trainer.offload import Groups, Host, Offloaded

#: AdamW's usual second-moment settings for fine-tuning BERT (Devlin et al. 2019, appendix A.2)
BETAS = (0.9, 0.999)
EPSILON = 1e-8


def build_optimizer(model: Classifier, config: Config, *, host: Host = nullcontext) -> Optimizer:
    """The configured optimizer over groups of equal learning rate and weight decay.

    With `optimization.cpu_offload` its state lies in host memory; `host` is the card's context for that.
    """
    groups = parameter_groups(model, config)
    if config.optimization.cpu_offload:
        return Offloaded(groups, make=lambda copies: _optimizer(copies, config), host=host)
    return _optimizer(groups, config)


def _optimizer(groups: Groups, config: Config) -> Optimizer:
    training = config.training
    if config.optimization.optimizer == "Adafactor":
        return Adafactor(groups, lr=training.learning_rate, weight_decay=training.weight_decay)
    return AdamW(groups, lr=training.learning_rate, betas=BETAS, eps=EPSILON, fused=True)


def prime(optimizer: Optimizer) -> None:
    """Allocate the optimizer's state now, at values a first step starts from.

    An out-of-memory error must never strike in the middle of an optimizer step: part of the
    parameters would be updated and the step could not be done again. Runs one step of zero
    gradients at learning rate zero, then sets every step counter back to zero.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    with optimizer.host() if isinstance(optimizer, Offloaded) else nullcontext():
        inner = optimizer.inner if isinstance(optimizer, Offloaded) else optimizer
        for value in chain.from_iterable(state.values() for state in inner.state.values()):
            value.zero_()


def parameter_groups(model: Classifier, config: Config) -> list[dict[str, Any]]:
    """Groups {params, lr, weight_decay}.

    The rate falls by `layer_lr_decay` per layer below the top (embeddings lowest), heads get
    `head_lr_multiplier`; biases and normalisation weights are not decayed.
    """
    grouped: dict[tuple[float, float], list[nn.Parameter]] = {}
    depth = model.net.config.num_hidden_layers
    for name, parameter in model.net.named_parameters():
        if parameter.requires_grad:
            rate = config.training.learning_rate * _rate_factor(name, depth, config)
            decay = config.training.weight_decay if parameter.ndim > 1 else 0.0
            grouped.setdefault((rate, decay), []).append(parameter)
    return [{"params": p, "lr": rate, "weight_decay": decay} for (rate, decay), p in grouped.items()]


def _rate_factor(name: str, depth: int, config: Config) -> float:
    if name.startswith(("classifier.", "pooler.")) or ".pooler." in name:
        return config.training.head_lr_multiplier
    layer = re.search(r"\.layers?\.(\d+)\.", name)
    height = int(layer.group(1)) + 1 if layer else 0
    return float(config.training.layer_lr_decay ** (depth - height))


def parameters_of(optimizer: Optimizer) -> Iterator[nn.Parameter]:
    """Every parameter the optimizer updates."""
    for group in optimizer.param_groups:
        yield from group["params"]
