"""What CUDA keeps is measured where there is a device; here a device that behaves like one."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from trainer.errors import UserError
from trainer.memory.card import CardSpec, parse_card, with_context
from trainer.memory.context import measured, measured_card, tiny_step

MIB = 2**20


@dataclass
class Played:
    """A device of 4 GiB: `others` is used by other programs, `kernels` is loaded by the first step."""

    others: int = 100 * MIB
    base: int = 200 * MIB
    kernels: int = 300 * MIB
    cached: int = 0
    stepped: bool = False

    def total_and_free(self) -> tuple[int, int]:
        beside = self.others + self.base + (self.kernels if self.stepped else 0)
        return 4096 * MIB, 4096 * MIB - beside - self.cached

    def reserved(self) -> int:
        return self.cached

    def step(self) -> None:
        self.stepped, self.cached = True, 22 * MIB


def test_the_context_is_what_is_used_beside_the_allocator_after_a_step() -> None:
    device = Played()
    guessed = CardSpec("a card", 3746 * MIB, 350 * MIB, index=0)
    found = measured(guessed, device=device, step=device.step)
    assert (found.reserved_bytes, found.limit_bytes) == (600 * MIB, 3496 * MIB)
    assert found.total_bytes == 4096 * MIB
    assert not found.assumed


def test_a_tiny_step_runs_and_leaves_nothing() -> None:
    tiny_step(torch.device("cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_nothing_is_measured() -> None:
    assert measured_card() is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_the_context_is_neither_nothing_nor_everything() -> None:
    card = measured_card()
    assert card is not None
    assert 50 * MIB < card.reserved_bytes < card.total_bytes // 2


def test_a_context_that_is_given_is_no_assumption() -> None:
    card = parse_card("rtx3050", context="500MiB")
    assert (card.limit_bytes, card.assumed) == (3596 * MIB, False)
    assert with_context(card, "0").limit_bytes == 4096 * MIB


@pytest.mark.parametrize("text", ["much", "5", "4GiB"])
def test_a_context_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=f"context {text}"):
        parse_card("rtx3050", context=text)
