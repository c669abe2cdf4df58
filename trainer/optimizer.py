"""The optimizer: parameter groups, layer-wise rates, and a state that is allocated before it is needed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from torch.optim import Adafactor, AdamW, Optimizer

from trainer.config.schema import Config
from trainer.errors import ConfigError, Problem
from trainer.model.classifier import Classifier
from trainer.model.layers import height
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
    name = config.optimization.optimizer
    rate, decay = config.training.learning_rate, config.training.weight_decay
    if name == "Adafactor":
        return Adafactor(groups, lr=rate, weight_decay=decay)
    if name == "AdamW8bit":
        return quantised_adamw()(groups, lr=rate, betas=BETAS, eps=EPSILON, weight_decay=decay)
    return AdamW(groups, lr=rate, betas=BETAS, eps=EPSILON, fused=True)


def by_element(config: Config) -> bool:
    """Whether each element is updated by its own gradient alone, whatever else its parameter holds.

    Adafactor looks at a matrix as a whole; AdamW of 8 bits keeps its state by blocks.
    """
    return config.optimization.optimizer == "AdamW"


def require_optimizer(config: Config) -> None:
    """Check that the configured optimizer is installed.

    Raises:
        ConfigError: it comes with an extra that is not.
    """
    if config.optimization.optimizer == "AdamW8bit" and find_spec("bitsandbytes") is None:
        message = "optimization.optimizer: AdamW8bit needs bitsandbytes; pip install 'cp-search[8bit]'"
        raise ConfigError([Problem(None, message)])


def quantised_adamw() -> Callable[..., Optimizer]:
    """bitsandbytes' AdamW with blockwise 8-bit state (Dettmers et al. 2022)."""
    # What it says on import is about kernels for 4-bit inference.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    found: Callable[..., Optimizer] = import_module("bitsandbytes.optim").AdamW8bit
    return found


def is_quantised(optimizer: Optimizer) -> bool:
    """Whether `optimizer` is `quantised_adamw`'s, whose state has a shape of its own."""
    return type(optimizer).__module__.startswith("bitsandbytes.")


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
        for state in inner.state.values():
            _start_over(state)


def _start_over(state: dict[str, Any]) -> None:
    """Every number of an optimizer's state for one parameter to zero, but for tables of quantised values."""
    for key, value in state.items():
        if not isinstance(value, torch.Tensor):
            state[key] = 0
        elif not key.startswith("qmap"):
            value.zero_()


def parameter_groups(model: Classifier, config: Config) -> list[dict[str, Any]]:
    """Groups {params, lr, weight_decay}.

    The rate falls by `layer_lr_decay` per layer below the top (embeddings lowest), heads get
    `head_lr_multiplier`; biases and normalisation weights are not decayed. What is frozen is in none.
    """
    grouped: dict[tuple[float, float], list[nn.Parameter]] = {}
    depth = model.net.config.num_hidden_layers
    for name, parameter in model.net.named_parameters():
        if parameter.requires_grad:
            rate = config.training.learning_rate * _rate_factor(height(name, model.net), depth, config)
            decay = config.training.weight_decay if parameter.ndim > 1 else 0.0
            grouped.setdefault((rate, decay), []).append(parameter)
    return [{"params": p, "lr": rate, "weight_decay": decay} for (rate, decay), p in grouped.items()]


def _rate_factor(layer: int | None, depth: int, config: Config) -> float:
    if layer is None:
        return config.training.head_lr_multiplier
    return float(config.training.layer_lr_decay ** (depth - layer))


def parameters_of(optimizer: Optimizer) -> Iterator[nn.Parameter]:
    """Every parameter the optimizer updates."""
    for group in optimizer.param_groups:
        yield from group["params"]
