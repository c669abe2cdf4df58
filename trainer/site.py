"""Where finished models compute: forward passes under a card, smaller where its memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch

from trainer.errors import CardTooSmall, OutOfMemory
from trainer.forward import Compute, Forward
from trainer.memory.allocator import rounded
from trainer.memory.card import MIB, Card, show_size
from trainer.memory.context import device_for
from trainer.memory.foreign import classified
from trainer.memory.open_card import open_card
from trainer.memory.recovery import Recovery, TokenBudget

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trainer.memory.card import CardSpec, Module

#: rows × longest text of one forward pass without gradients, on a GPU
TOKEN_BUDGET = 4096
#: the same on a CPU: less padding, and what a layer writes stays nearer (benchmarks/predict.py)
CPU_TOKENS = 2048

_LOG = logging.getLogger(__name__)


class Site:
    """A card (None: the CUDA device if there is one, else the CPU without a limit) that models share.

    say: told a line when memory ran out and the work goes on smaller; by default it is logged.
    """

    def __init__(self, card: CardSpec | None = None, *, say: Callable[[str], None] = _LOG.warning) -> None:
        self.card: Card = open_card(card, present=device_for(card))
        self.say = say
        self._recovery = Recovery(self.card, say=say)
        self._tokens = CPU_TOKENS if self.card.device.type == "cpu" else TOKEN_BUDGET

    def adopt(self, model: Module, *, name: str) -> Module:
        """Move `model`, called `name`, onto the card.

        Raises:
            CardTooSmall: it does not fit beside what is there.
        """
        self.card.release()  # of a model that went before
        weights = _bytes([*model.parameters(), *model.buffers()])
        there = self.card.live_bytes() or 0
        try:
            with classified():
                return self.card.adopt(model)
        except torch.OutOfMemoryError:
            pass  # raised outside this block: the traceback would keep what is on the card alive
        raise self._too_small(f"the weights of {name} ({show_size(weights)})", weights + there)

    def over(self, lengths_N: NDArray[np.int64], compute: Compute, *, name: str) -> None:
        """`compute` of all rows of lengths `lengths_N` with the model called `name`, as `Forward.over`.

        Raises:
            CardTooSmall: one row does not fit beside the weights.
        """
        if not len(lengths_N):
            return
        budget = TokenBudget(self._tokens, max(1, int(lengths_N.max())))
        try:
            with self.card, torch.inference_mode():
                Forward(self._recovery, budget).over(lengths_N, compute, where=name)
        except OutOfMemory as error:
            needed = error.needed_bytes
        else:
            self._tokens = budget.tokens
            return
        raise self._too_small(f"one text beside the weights of {name}", needed)

    def _too_small(self, what: str, needed: int) -> CardTooSmall:
        limit = self.card.limit_bytes or 0
        more, there = f"{(needed - limit) / MIB:.1f} MiB", show_size(limit)
        return CardTooSmall(
            f"{self.card.name} is too small: {what} need at least {more} more than the {there} there are; "
            "use a larger card, or compute on the CPU with CUDA_VISIBLE_DEVICES=-1"
        )


def _bytes(tensors: Iterable[Any]) -> int:
    return sum(rounded(tensor.nbytes) for tensor in tensors)
