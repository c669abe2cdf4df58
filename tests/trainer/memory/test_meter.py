"""The meter: what is alive, to the byte."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.memory.allocator import BLOCK
from trainer.memory.meter import LiveMeter


def test_sizes_are_rounded_up_to_blocks() -> None:
    with LiveMeter() as meter:
        tensors = [torch.empty(1), torch.empty(129)]
        assert meter.live_bytes == BLOCK + 2 * BLOCK
        assert len(tensors) == 2


def test_views_and_results_in_place_do_not_count_twice() -> None:
    with LiveMeter() as meter:
        x = torch.zeros(256, 4)
        before = meter.live_bytes
        x.add_(1).mul_(2)
        view = x.t()[1].unsqueeze(0)
        assert meter.live_bytes == before
        assert view.numel() == 256


def test_a_storage_that_is_resized_counts_at_its_new_size() -> None:
    with LiveMeter() as meter:
        x = torch.zeros(BLOCK, dtype=torch.uint8)
        x.resize_(4 * BLOCK)
        assert meter.live_bytes == 4 * BLOCK
        del x
        assert meter.live_bytes == 0


def test_the_sink_hears_every_storage_come_and_go() -> None:
    heard: list[tuple[str, int, int]] = []
    with LiveMeter(sink=lambda *event: heard.append(event)):
        x = torch.zeros(BLOCK, dtype=torch.uint8)
        y = x + 1
        del x, y
    assert heard == [("alloc", 1, BLOCK), ("alloc", 2, BLOCK), ("free", 1, BLOCK), ("free", 2, BLOCK)]


def test_what_backward_saves_and_makes_is_counted() -> None:
    weight = nn.Parameter(torch.ones(BLOCK // 4))
    with LiveMeter() as meter:
        x = weight.exp()  # saves its result
        y = x.exp()  # saves its own
        del x
        y.sum().backward()  # type: ignore[no-untyped-call]  # torch's own
        assert weight.grad is not None
        assert meter.live_bytes == 2 * BLOCK  # y and the gradient
        assert meter.peak_bytes >= 4 * BLOCK


def test_a_saved_activation_dies_with_its_graph() -> None:
    x = torch.ones(BLOCK // 4, requires_grad=True)
    with LiveMeter() as meter:
        y = x.exp().sum()
        assert meter.live_bytes == 2 * BLOCK
        del y
        assert meter.live_bytes == 0


def test_storages_on_the_meta_device_are_nothing() -> None:
    with LiveMeter(limit=0) as meter:
        nn.Linear(100, 100, device="meta")
        assert meter.live_bytes == 0


def test_temporaries_are_counted_without_autograd_too() -> None:
    layer, x = nn.Linear(128, 128), torch.ones(8, 128)
    peaks = []
    for context in (torch.no_grad(), torch.inference_mode()):
        with LiveMeter() as meter, context:
            torch.nn.functional.cosine_similarity(layer(x), x)
        peaks.append(meter.peak_bytes)
    assert peaks[0] == peaks[1] > 3 * 8 * 128 * 4


def test_a_refused_result_is_freed_before_the_error_is_handled() -> None:
    x = torch.ones(BLOCK, dtype=torch.uint8)
    with LiveMeter(limit=4 * BLOCK) as meter:
        with pytest.raises(torch.OutOfMemoryError) as caught:
            x.repeat(8)
        assert meter.live_bytes == 0
        assert "Tried to allocate 4.00 KiB" in str(caught.value)


def test_counting_what_is_there_already_counts_it_once() -> None:
    layer = nn.Linear(128, 128)
    with LiveMeter() as meter:
        meter.count(layer.parameters())
        meter.count(layer.parameters())
        layer.weight.detach()
        assert meter.live_bytes == 128 * 128 * 4 + BLOCK


def test_what_is_made_for_the_host_is_beside_the_card() -> None:
    with LiveMeter() as meter:
        with meter.host():
            beside = torch.zeros(BLOCK)
        on_it = torch.zeros(BLOCK, dtype=torch.uint8)
        assert meter.live_bytes == BLOCK
    assert len(beside) == len(on_it)


def test_a_storage_that_grew_unseen_is_refused_for_what_it_grew_by() -> None:
    with LiveMeter(limit=2 * BLOCK) as meter:
        x = torch.zeros(BLOCK, dtype=torch.uint8)
    x.resize_(4 * BLOCK)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        meter.count([x])
    assert "Tried to allocate 1.50 KiB" in str(caught.value)
    assert "of which 512 bytes is free" in str(caught.value)


def test_sizes_in_messages_are_worded_as_cuda_words_them() -> None:
    # format_size of c10: a unit is used only above it, so 1 KiB is still told in bytes
    with LiveMeter(limit=BLOCK) as meter, pytest.raises(torch.OutOfMemoryError, match="allocate 1024 bytes"):
        torch.zeros(2 * BLOCK, dtype=torch.uint8)
    assert meter.peak_bytes == 0
