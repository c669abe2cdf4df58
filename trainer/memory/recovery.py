"""Doing a piece of work again, smaller, when the card ran out of memory.

The work is a function of a token budget. After an out-of-memory error everything it left behind is
freed, the random state is put back, and it runs again at half the budget: the same examples, the
same dropout draws from the same state, cut into more micro-batches.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from trainer.errors import OutOfMemory
from trainer.memory.foreign import classified

if TYPE_CHECKING:
    from trainer.memory.card import Card

T = TypeVar("T")

#: "Tried to allocate 20.00 MiB" in torch's message; it has no attribute for the size
_ASKED = re.compile(r"[Tt]ried to allocate ([\d.]+) ([KMG]?i?B|bytes)")
_UNIT = {"bytes": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@dataclass
class TokenBudget:
    """Largest rows × longest text of one micro-batch, and every time it had to shrink.

    full_length: tokens of a full-length example, for naming a budget as a batch size.
    """

    tokens: int
    full_length: int
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def batch_size(self) -> int:
        """The budget in full-length examples."""
        return max(1, self.tokens // self.full_length)


@dataclass
class LengthBudgets:
    """A token budget for each class of lengths: what steps of long texts give up, steps of short ones keep.

    tokens: where nothing had to be lowered. full_length, events: as in `TokenBudget`. lowered: the longest
    text of a class, a power of two (as text, for JSON) -> its budget. What is lowered for a class holds
    for longer texts too, for they take no less memory for a token.
    """

    tokens: int
    full_length: int
    events: list[dict[str, Any]] = field(default_factory=list)
    lowered: dict[str, int] = field(default_factory=dict)

    def at(self, longest: int) -> TokenBudget:
        """The budget of a step whose longest text has `longest` tokens."""
        shorter = [tokens for length, tokens in self.lowered.items() if int(length) <= _class(longest)]
        return TokenBudget(min([self.tokens, *shorter]), self.full_length, self.events)

    def remember(self, longest: int, budget: TokenBudget) -> None:
        """Keep what a step whose longest text has `longest` tokens succeeded with."""
        if budget.tokens < self.at(longest).tokens:
            self.lowered[str(_class(longest))] = budget.tokens


def _class(longest: int) -> int:
    return 1 << max(0, longest - 1).bit_length()


@dataclass(frozen=True)
class Cut:
    """What the failed attempt had been cut into: its largest micro-batch."""

    largest_tokens: int
    largest_rows: int


class Recovery:
    """Runs work under a card, halving the token budget after each out-of-memory error."""

    def __init__(self, card: Card, *, say: Callable[[str], None]) -> None:
        self._card = card
        self._say = say

    def run(
        self,
        work: Callable[[int], T],
        *,
        budget: TokenBudget,
        cut: Callable[[int], Cut],
        forget: Callable[[], None],
        where: str,
    ) -> T:
        """`work(budget.tokens)`, again at half the budget until it fits.

        cut(tokens): the largest micro-batch that `work` would form. forget(): drops what a failed
        attempt left (gradients). where: for the record ("step 12", "evaluation 3").

        Raises:
            OutOfMemory: every micro-batch already was a single example.
        """
        before = random_state(self._card.device)
        while True:
            try:
                with classified():
                    return work(budget.tokens)
            except torch.OutOfMemoryError as error:
                needed = self._needed(error)
            # Outside the except block: the traceback held the tensors of the failed attempt.
            forget()
            self._card.release()
            self._shrink(budget, cut=cut(budget.tokens), where=where, needed=needed)
            restore_random_state(before, self._card.device)

    def _shrink(self, budget: TokenBudget, *, cut: Cut, where: str, needed: int) -> None:
        if cut.largest_rows <= 1:
            raise self._error(f"a single example at {where}", needed)
        old = budget.batch_size
        tokens = budget.tokens // 2
        while tokens >= cut.largest_tokens:  # short texts: a budget above them would cut nothing
            tokens //= 2
        budget.events.append({"where": where, "from_tokens": budget.tokens, "to_tokens": tokens})
        change = f"({budget.tokens} to {tokens} tokens)"
        budget.tokens = tokens
        self._say(f"OOM detected, reducing batch size from {old} to {budget.batch_size} {change}")

    def exhausted(self, what: str, error: torch.OutOfMemoryError) -> OutOfMemory:
        """The error for work that cannot be made smaller; call it while `error` is being handled."""
        return self._error(what, self._needed(error))

    def _needed(self, error: torch.OutOfMemoryError) -> int:
        """What was alive, and is until the traceback goes, with the allocation that failed."""
        limit = self._card.limit_bytes or 0
        return max(limit + 1, (self._card.live_bytes() or 0) + asked_bytes(str(error)))

    def _error(self, what: str, needed: int) -> OutOfMemory:
        limit = self._card.limit_bytes or 0
        text = f"{what} does not fit {self._card.name}: at least {needed} bytes wanted, {limit} there"
        return OutOfMemory(text, needed_bytes=needed, limit_bytes=limit)


def asked_bytes(message: str) -> int:
    """Size of the allocation that failed, from torch's message; 0 when it does not say."""
    found = _ASKED.search(message)
    return round(float(found.group(1)) * _UNIT[found.group(2)]) if found else 0


def random_state(device: torch.device) -> list[Tensor]:
    """The generators a training step draws from: the CPU's and, on a GPU, the device's."""
    state = [torch.get_rng_state()]
    if device.type == "cuda":
        state.append(torch.cuda.get_rng_state(device))
    return state


def restore_random_state(state: list[Tensor], device: torch.device) -> None:
    """Put back what `random_state` returned."""
    torch.set_rng_state(state[0])
    if device.type == "cuda" and len(state) > 1:
        torch.cuda.set_rng_state(state[1], device)
