"""The plain CPU, and host memory beside a card: no limit, nothing counted."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from trainer.memory.card import Card

if TYPE_CHECKING:
    from trainer.memory.card import Module


class HostCard(Card):
    """A CPU that may use what the machine has; its memory is not measured."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.name = "the CPU"

    @property
    def limit_bytes(self) -> int | None:
        """No limit."""
        return None

    def adopt(self, module: Module) -> Module:
        """Leaves it where it is: on the CPU."""
        return module.to(self.device)

    def live_bytes(self) -> int | None:
        """Not counted."""
        return None

    def peak_bytes(self) -> int | None:
        """Not counted."""
        return None

    def reset_peak(self) -> None:
        """Nothing to reset."""


def host_memory() -> AbstractContextManager[Any]:
    """Around work on what lies in host memory, where no `Card` is at hand: a virtual one must not count it.

    Beyond its limit it would, worse, fail inside safetensors, with an error that names no memory.
    """
    disabled: AbstractContextManager[Any] = _disable_current_modes()
    return disabled
