"""An optimizer whose state lives in host memory, for models whose state the card cannot hold.

The card keeps weights and gradients; the host keeps a copy of the weights and the optimizer's state
and makes the update. It costs a copy of the gradients down and of the weights up in every
optimizer step, and changes no result (AdamW of the host's torch in float32).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.optim import Optimizer

Groups = list[dict[str, Any]]

#: entered around everything that lives on the host, so that no card counts it
Host = Callable[[], AbstractContextManager[object]]


class Offloaded(Optimizer):
    """`make(groups)`'s optimizer over host copies of the parameters in `groups`.

    Learning rates and weight decays are read from this optimizer's own groups before every step,
    so schedulers and checkpoints work on it as on any other.
    """

    def __init__(self, groups: Groups, *, make: Callable[[Groups], Optimizer], host: Host) -> None:
        super().__init__(groups, {})
        self.host = host
        with host():
            self.inner = make([self._copied(group) for group in self.param_groups])

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # never called with one
        """Gradients down, update on the host, weights up."""
        with self.host():
            self._pass_on()
            for ours, theirs in zip(self.param_groups, self.inner.param_groups, strict=True):
                for parameter, copy in zip(ours["params"], theirs["params"], strict=True):
                    copy.grad = None if parameter.grad is None else parameter.grad.to("cpu", copy=True)
            self.inner.step()
            for ours, theirs in zip(self.param_groups, self.inner.param_groups, strict=True):
                for parameter, copy in zip(ours["params"], theirs["params"], strict=True):
                    parameter.copy_(copy)
            self.inner.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """The host optimizer's, with the rates of the next step."""
        self._pass_on()
        return self.inner.state_dict()

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Into the host optimizer; the host's weights are taken from the card's, loaded before."""
        with self.host():
            self.inner.load_state_dict(state_dict)
            for ours, theirs in zip(self.param_groups, self.inner.param_groups, strict=True):
                ours.update({key: value for key, value in theirs.items() if key != "params"})
                for parameter, copy in zip(ours["params"], theirs["params"], strict=True):
                    copy.copy_(parameter)

    def _pass_on(self) -> None:
        """What schedulers set in our groups, to those of the host's optimizer."""
        for ours, theirs in zip(self.param_groups, self.inner.param_groups, strict=True):
            theirs.update({key: value for key, value in ours.items() if key != "params"})

    def _copied(self, group: dict[str, Any]) -> dict[str, Any]:
        copies = [parameter.detach().to("cpu", copy=True).requires_grad_() for parameter in group["params"]]
        return {**group, "params": copies}
