"""A CUDA device, held to its limit by torch's own allocator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from trainer.memory.card import Card

if TYPE_CHECKING:
    from trainer.memory.card import CardSpec, Module


class CudaCard(Card):
    """The device of `present`, capped at the limit of `cap` where that is lower.

    The cap matters even at full size: a driver that spills into system memory (Windows) would hide
    an overflow behind a slow step instead of an error.
    """

    def __init__(self, present: CardSpec, *, cap: CardSpec | None = None) -> None:
        self.device = torch.device("cuda", present.index or 0)
        self.name = cap.name if cap else present.name
        self._total = present.total_bytes
        self.limit_bytes = min(present.limit_bytes, cap.limit_bytes) if cap else present.limit_bytes

    @property
    def limit_bytes(self) -> int:
        """What torch's allocator may reserve; setting it caps the running process at once."""
        return self._limit

    @limit_bytes.setter
    def limit_bytes(self, limit: int) -> None:
        self._limit = limit
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / self._total), self.device)

    def adopt(self, module: Module) -> Module:
        """Copies it to the device."""
        return module.to(self.device)

    def live_bytes(self) -> int:
        """Allocated by tensors."""
        return int(torch.cuda.memory_allocated(self.device))

    def peak_bytes(self) -> int:
        """The most that was allocated by tensors."""
        return int(torch.cuda.max_memory_allocated(self.device))

    def reserved_peak_bytes(self) -> int:
        """The most that torch's allocator held, its cache included."""
        return int(torch.cuda.max_memory_reserved(self.device))

    def reset_peak(self) -> None:
        """As the base class says."""
        torch.cuda.reset_peak_memory_stats(self.device)

    def release(self) -> None:
        """Collect garbage, then return cached blocks to the device."""
        super().release()
        torch.cuda.empty_cache()
