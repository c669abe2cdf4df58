"""Cards: names, and one contract for the virtual card and the CUDA device."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from tests.trainer.memory.device import Device, pretend
from trainer.errors import UserError
from trainer.memory.card import (
    Card,
    CardSpec,
    known_cards,
    parse_card,
    present_card,
    show_size,
    sized_card,
)
from trainer.memory.open_card import open_card

MIB = 2**20
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("text", ["4GiB", "4 GB", "4096 MiB", "4GB "])
def test_a_size_is_the_whole_card_of_which_the_context_is_taken_off(text: str) -> None:
    card = parse_card(text)
    assert card.total_bytes == 4 * 2**30
    assert card.limit_bytes == 4 * 2**30 - 350 * MIB
    assert card.assumed


def test_a_size_smaller_than_any_gpu_is_for_tensors_alone() -> None:
    assert parse_card("200MiB", virtual=True) == CardSpec("200MiB", 200 * MIB, virtual=True)


def test_a_card_is_known_by_name_in_any_case() -> None:
    assert parse_card("RTX3050").total_bytes == 4 * 2**30
    assert parse_card("a100-40").total_bytes == 40 * 2**30


def test_a_misspelt_card_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="did you mean rtx3050"):
        parse_card("rtx3051")


@pytest.mark.parametrize("text", ["", "0GiB", "-4GiB", "4", "4x", "nan", "GiB", "quantum"])
def test_what_is_neither_size_nor_name_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="neither a size such as 4GiB"):
        parse_card(text)


def test_a_spec_survives_the_way_to_a_child_process() -> None:
    spec = parse_card("t4", virtual=True)
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_every_known_card_leaves_room_for_tensors() -> None:
    for card in known_cards().values():
        assert 0 < card.context_bytes < card.total_bytes / 4, card.name


def test_from_hopper_on_cublas_keeps_more() -> None:
    # cuBLAS's default workspace: 8,519,680 B before compute capability 9.0, 32 MiB from there on
    for known in known_cards().values():
        kept = 32 * MIB if known.capability >= 9 else 8_519_680
        assert known.spec(virtual=True, index=None).workspace_bytes == kept, known.name
        assert sized_card(known.name, "24GiB").workspace_bytes == kept, known.name


def test_a_context_that_was_measured_is_taken_off_and_must_leave_something() -> None:
    card = parse_card("4GiB", context="500MiB")
    assert (card.limit_bytes, card.reserved_bytes) == (4096 * MIB - 500 * MIB, 500 * MIB)
    assert not card.assumed
    assert parse_card("4GiB", context="0").limit_bytes == 4096 * MIB
    with pytest.raises(UserError, match="nothing is left"):
        parse_card("4GiB", context="4GiB")


def test_a_device_is_known_by_its_name_size_and_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device("NVIDIA GeForce RTX 3050 Laptop GPU", total_memory=4096 * MIB, major=8, minor=6)
    pretend(device, monkeypatch)
    card = present_card()
    assert card is not None
    assert (card.total_bytes, card.capability, card.workspace_bytes) == (4096 * MIB, 8.6, 8_519_680)
    assert 0 < card.limit_bytes < card.total_bytes
    assert present_card(1) is None
    assert present_card(5) is None


def test_a_size_is_shown_in_the_unit_a_person_would_use() -> None:
    shown = [show_size(size) for size in (512 * MIB, 2**30, 3 * 2**29)]
    assert shown == ["512 MiB", "1.00 GiB", "1.50 GiB"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_the_cpu_has_no_limit_and_no_peak() -> None:
    assert present_card() is None
    with open_card(parse_card("4GiB")) as card:
        assert card.device.type == "cpu"
        assert (card.limit_bytes, card.live_bytes(), card.peak_bytes()) == (None, None, None)


class CardContract:
    """What every card with a limit does, whoever plays it."""

    def test_a_tensor_counts_while_it_is_alive(self, card: Card) -> None:
        before = live(card)
        tensor = torch.empty(MIB, dtype=torch.uint8, device=card.device)
        assert live(card) == before + MIB
        view = tensor[1:]
        del tensor
        assert live(card) == before + MIB
        del view
        assert live(card) == before

    def test_the_peak_is_kept_until_it_is_reset(self, card: Card) -> None:
        torch.empty(4 * MIB, dtype=torch.uint8, device=card.device)
        card.release()
        assert peak(card) >= 4 * MIB
        card.reset_peak()
        assert peak(card) == live(card)

    def test_a_module_adopted_counts_with_all_its_parameters(self, card: Card) -> None:
        with torch.device("cpu"):
            module = nn.Linear(512, 512, bias=False)
        before = live(card)
        adopted = card.adopt(module)
        assert next(adopted.parameters()).device.type == card.device.type
        assert live(card) - before in (0, MIB)  # 0 where it was counted when it was made
        assert live(card) >= MIB

    def test_past_the_limit_it_is_out_of_memory_and_can_go_on(self, card: Card) -> None:
        before = live(card)
        with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
            torch.empty(512 * MIB, dtype=torch.uint8, device=card.device)
        card.release()
        assert live(card) == before
        torch.empty(MIB, dtype=torch.uint8, device=card.device)

    def test_a_module_that_does_not_fit_is_out_of_memory(self, card: Card) -> None:
        with torch.device("meta"):
            module = nn.Linear(8192, 8192)
        with pytest.raises(torch.OutOfMemoryError):
            card.adopt(module.to_empty(device="cpu"))

    def test_backward_runs_out_of_memory_too(self, card: Card) -> None:
        x = torch.zeros(8 * MIB, device=card.device, requires_grad=True)
        loss = x.sum()
        set_limit(card, live(card) + 16 * MIB)
        with pytest.raises(torch.OutOfMemoryError):
            (loss * 2 + x.exp().sum()).backward()  # type: ignore[no-untyped-call]  # torch's own

    def test_a_limit_that_drops_holds_at_the_next_allocation(self, card: Card) -> None:
        kept = torch.empty(16 * MIB, dtype=torch.uint8, device=card.device)
        set_limit(card, 8 * MIB)
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(32 * MIB, dtype=torch.uint8, device=card.device)
        assert kept.numel() == 16 * MIB


class TestVirtualCard(CardContract):
    @pytest.fixture
    def card(self) -> Iterator[Card]:
        with open_card(CardSpec("test", 256 * MIB, virtual=True)) as card:
            yield card

    def test_outside_its_context_nothing_counts(self) -> None:
        card = open_card(CardSpec("test", MIB, virtual=True))
        torch.empty(2 * MIB)
        with card:
            assert card.live_bytes() == 0

    def test_a_refused_allocation_is_not_a_peak(self, card: Card) -> None:
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(512 * MIB, dtype=torch.uint8)
        assert peak(card) == 0


@GPU
@pytest.mark.gpu
class TestCudaCard(CardContract):
    @pytest.fixture
    def card(self) -> Iterator[Card]:
        present = present_card()
        assert present is not None
        with open_card(CardSpec("test", 256 * MIB)) as card:
            yield card
            set_limit(card, present.limit_bytes)


def live(card: Card) -> int:
    found = card.live_bytes()
    assert found is not None
    return found


def peak(card: Card) -> int:
    found = card.peak_bytes()
    assert found is not None
    return found


def set_limit(card: Card, limit: int) -> None:
    card.limit_bytes = limit  # type: ignore[misc]  # every card with a limit lets it be set
