from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.batches import collate, effective_batches, micro_batches
from trainer.data.tokens import Tokens
from trainer.errors import UserError

SIZES = st.integers(1, 50)
SEEDS = st.integers(0, 2**32 - 1)
LENGTHS = st.lists(st.integers(1, 512), min_size=1, max_size=60)


def tokens_of(*contents: list[int]) -> Tokens:
    """Tokens with [CLS] 101, [SEP] 102 and padding 7."""
    flat = [token for content in contents for token in content]
    offsets = np.cumsum([0, *map(len, contents)])
    return Tokens(np.array(flat, np.int32), offsets, prefix=(101,), suffix=(102,), pad_id=7)


@given(st.integers(0, 300), SIZES, SEEDS, st.integers(0, 20))
def test_an_epoch_takes_every_row_once(n: int, size: int, seed: int, epoch: int) -> None:
    batches = effective_batches(n, size=size, seed=seed, epoch=epoch, drop_last=False)
    assert sorted(row for batch in batches for row in batch) == list(range(n))
    assert all(len(batch) == size for batch in batches[:-1])
    assert len(batches) == -(-n // size)


@given(SIZES, SIZES, SEEDS)
def test_dropping_the_last_leaves_full_batches_without_repeats(size: int, extra: int, seed: int) -> None:
    batches = effective_batches(size + extra, size=size, seed=seed, epoch=0, drop_last=True)
    rows = [row for batch in batches for row in batch]
    assert {len(batch) for batch in batches} == {size}
    assert len(rows) == len(set(rows)) == (size + extra) // size * size


def order_of(**choices: int) -> list[Any]:
    arguments: dict[str, Any] = {"size": 8, "seed": 3, "epoch": 0, **choices}
    return list(np.concatenate(effective_batches(100, drop_last=False, **arguments)))


def test_the_order_follows_from_seed_and_epoch() -> None:
    assert order_of() == order_of()
    assert order_of() == order_of(size=16)
    assert len({tuple(order_of(seed=seed, epoch=epoch)) for seed in range(5) for epoch in range(5)}) == 25


def test_dropping_the_only_batch_is_an_error_and_not_an_empty_epoch() -> None:
    with pytest.raises(UserError, match=r"dataloader_drop_last.*5 rows, effective batch 8"):
        effective_batches(5, size=8, seed=0, epoch=0, drop_last=True)


@given(LENGTHS, st.integers(1, 2048))
def test_micro_batches_take_every_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    lengths_B = np.array(lengths)
    cuts = micro_batches(lengths_B, token_budget=budget)
    assert sorted(row for cut in cuts for row in cut) == list(range(len(lengths)))
    for cut in cuts:
        assert len(cut) == 1 or len(cut) * lengths_B[cut].max() <= budget


@given(LENGTHS, st.integers(1, 2048))
def test_the_longest_rows_come_first(lengths: list[int], budget: int) -> None:
    order = np.concatenate(micro_batches(np.array(lengths), token_budget=budget))
    assert np.array(lengths)[order].tolist() == sorted(lengths, reverse=True)


@given(LENGTHS, st.integers(2, 2048))
def test_half_the_budget_never_gives_more_padded_tokens_at_once(lengths: list[int], budget: int) -> None:
    lengths_B = np.array(lengths)

    def largest(token_budget: int) -> int:
        cuts = micro_batches(lengths_B, token_budget=token_budget)
        return max(len(cut) * int(lengths_B[cut].max()) for cut in cuts)

    assert largest(budget // 2) <= largest(budget)


def test_an_effective_batch_that_fits_is_not_cut() -> None:
    cuts = micro_batches(np.array([3, 9, 5]), token_budget=27)
    assert [cut.tolist() for cut in cuts] == [[1, 2, 0]]


def test_a_batch_is_padded_to_its_own_longest_row() -> None:
    tokens = tokens_of([11, 12, 13, 14], [21], [31, 32])
    batch = collate(tokens, np.array([2, 1]), labels_NT=np.array([[0], [1], [-100]]), max_length=128)
    assert batch.ids_BL.tolist() == [[101, 31, 32, 102], [101, 21, 102, 7]]
    assert batch.mask_BL.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch.labels_BT.tolist() == [[-100], [1]]
    assert {batch.ids_BL.dtype, batch.mask_BL.dtype, batch.labels_BT.dtype} == {torch.int64}


def test_a_long_row_keeps_its_closing_token_when_cut() -> None:
    tokens = tokens_of([11, 12, 13, 14])
    batch = collate(tokens, np.array([0]), labels_NT=np.array([[0]]), max_length=4)
    assert batch.ids_BL.tolist() == [[101, 11, 12, 102]]


def test_a_batch_owns_its_labels() -> None:
    labels_NT = np.array([[0], [1]])
    batch = collate(tokens_of([1], [2]), np.array([0, 1]), labels_NT=labels_NT, max_length=8)
    batch.labels_BT.zero_()
    assert labels_NT.tolist() == [[0], [1]]
