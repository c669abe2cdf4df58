"""A card played by the CPU: real tensors, counted, and out of memory where a real card would be."""

from __future__ import annotations

from contextlib import AbstractContextManager
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING

import torch

from trainer.memory.card import Card
from trainer.memory.meter import LiveMeter

if TYPE_CHECKING:
    from trainer.memory.card import CardSpec, Module


class VirtualCard(Card):
    """The CPU with the memory of `spec`: inside `with card:` every tensor made counts against the limit.

    What it counts is what tensors hold: neither the allocator's cache nor temporaries inside one kernel.
    """

    def __init__(self, spec: CardSpec) -> None:
        self.device = torch.device("cpu")
        self.name = f"{spec.name} (virtual)"
        self._meter = LiveMeter(limit=spec.limit_bytes)

    @property
    def limit_bytes(self) -> int | None:
        """What tensors may hold together; may be changed while the card is in use."""
        return self._meter.limit

    @limit_bytes.setter
    def limit_bytes(self, limit: int) -> None:
        self._meter.limit = limit

    def adopt(self, module: Module) -> Module:
        """Counts its parameters, buffers and gradients, wherever they were made."""
        tensors = list(chain(module.parameters(), module.buffers()))
        gradients = [tensor.grad for tensor in tensors if tensor.grad is not None]
        self._meter.count(chain(tensors, gradients))
        return module

    def live_bytes(self) -> int:
        """What is alive of all it counted."""
        return self._meter.live_bytes

    def peak_bytes(self) -> int:
        """The most that was alive at once."""
        return self._meter.peak_bytes

    def reset_peak(self) -> None:
        """As the base class says."""
        self._meter.reset_peak()

    def host(self) -> AbstractContextManager[object]:
        """Here too it is the CPU's memory, but not the card's."""
        return self._meter.host()

    def __enter__(self) -> Card:
        self._meter.__enter__()  # type: ignore[no-untyped-call]  # torch's own
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._meter.__exit__(kind, error, trace)  # type: ignore[no-untyped-call]  # torch's own
