"""Optimizers as the planner runs them: torch's own, and stand-ins that allocate like ones not installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adafactor, AdamW, Optimizer

from trainer.memory.request import OptimizerKind
from trainer.offload import Groups, Host, Offloaded

#: bitsandbytes/functional.py: blockwise quantisation in blocks of 256 values, one float32 maximum each
#: (2048 before bitsandbytes 0.45)
QUANTISED_BLOCK = 256
#: bitsandbytes/optim/optimizer.py: smaller tensors keep a 32-bit state
MIN_QUANTISED = 4096


def build_planned_optimizer(model: nn.Module, kind: OptimizerKind, *, host: Host) -> Optimizer:
    """An optimizer of `kind` over all parameters of `model`; `host`: around what no card counts."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: Groups = [{"params": parameters, "lr": 1e-3}]
    makers: dict[OptimizerKind, Callable[[], Optimizer]] = {
        "adamw_fused": lambda: AdamW(parameters, fused=True),
        "adamw_foreach": lambda: AdamW(parameters, foreach=True, fused=False),
        "adamw_loop": lambda: AdamW(parameters, foreach=False, fused=False),
        "adafactor": lambda: Adafactor(parameters, foreach=False),
        "adamw8bit": lambda: QuantisedAdamW(parameters),
        "adamw_offload": lambda: Offloaded(groups, make=lambda copies: AdamW(copies, fused=True), host=host),
        "adafactor_offload": lambda: Offloaded(
            groups, make=lambda copies: Adafactor(copies, foreach=False), host=host
        ),
        "adamw_old": lambda: OldAdamW(parameters),
        "adafactor_old": lambda: OldAdafactor(parameters),
    }
    return makers[kind]()


def keep_gradients(optimizer: Optimizer) -> None:
    """Let `zero_grad` fill gradients with zeros, not drop them, as torch did by default before 2.0."""
    drop = optimizer.zero_grad

    def fill(set_to_none: bool = False) -> None:
        drop(set_to_none=False)

    optimizer.zero_grad = fill  # type: ignore[method-assign]  # this optimizer only


class _StandIn(Optimizer):
    """Goes through all parameters, one at a time; subclasses allocate what the original would."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        super().__init__(parameters, {"lr": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # never called with one
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, self.state[parameter])

    def _update(self, parameter: Tensor, grad: Tensor, state: dict[str, Any]) -> None:
        raise NotImplementedError


class OldAdamW(_StandIn):
    """transformers.AdamW, the Trainer's default until 4.2x: a loop with one temporary, the denominator."""

    def _update(self, parameter: Tensor, grad: Tensor, state: dict[str, Any]) -> None:
        if not state:
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["exp_avg"].mul_(0.9).add_(grad, alpha=0.1)
        state["exp_avg_sq"].mul_(0.999).addcmul_(grad, grad, value=0.001)
        denominator = state["exp_avg_sq"].sqrt().add_(1e-8)
        parameter.addcdiv_(state["exp_avg"], denominator, value=-0.001)


class OldAdafactor(_StandIn):
    """transformers.Adafactor: factored second moments, no first; full-size temporaries."""

    def _update(self, parameter: Tensor, grad: Tensor, state: dict[str, Any]) -> None:
        factored = grad.ndim >= 2
        if not state:
            if factored:
                state["row"] = torch.zeros(grad.shape[:-1])
                state["column"] = torch.zeros(grad.shape[:-2] + grad.shape[-1:])
            else:
                state["exp_avg_sq"] = torch.zeros_like(grad)
        update = (grad**2) + 1e-30
        if factored:
            state["row"].mul_(0.9).add_(update.mean(dim=-1), alpha=0.1)
            state["column"].mul_(0.9).add_(update.mean(dim=-2), alpha=0.1)
            row = (state["row"] / state["row"].mean(dim=-1, keepdim=True)).rsqrt_().unsqueeze(-1)
            update = torch.mul(row, state["column"].unsqueeze(-2).rsqrt())
            update.mul_(grad)
        else:
            state["exp_avg_sq"].mul_(0.9).add_(update, alpha=0.1)
            update = state["exp_avg_sq"].rsqrt().mul_(grad)
        update.norm(2)
        update.mul_(0.001)
        parameter.add_(-update)


class QuantisedAdamW(_StandIn):
    """bitsandbytes' AdamW8bit: two states of a byte a value, a maximum per block, no temporaries."""

    def _update(self, parameter: Tensor, grad: Tensor, state: dict[str, Any]) -> None:
        if state:
            return
        count = parameter.numel()
        for number in (1, 2):
            if count < MIN_QUANTISED:
                state[f"state{number}"] = torch.zeros_like(parameter)
            else:
                state[f"state{number}"] = torch.zeros_like(parameter, dtype=torch.uint8)
                state[f"absmax{number}"] = torch.zeros(-(-count // QUANTISED_BLOCK))
