from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.data.test_batches import LENGTHS, tokens_of
from trainer.data.packs import GROUP_TOKENS, attention_groups, lay_out, pack_rows, packs


def cost(groups: list[tuple[int, int]], lengths: list[int]) -> int:
    return sum((end - start) * lengths[start] + GROUP_TOKENS for start, end in groups)


@given(LENGTHS, st.integers(1, 2048))
def test_packs_take_every_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    lengths_B = np.array(lengths)
    cuts = packs(lengths_B, token_budget=budget)
    assert sorted(np.concatenate(cuts)) == list(range(len(lengths)))
    assert all(len(cut) == 1 or lengths_B[cut].sum() <= budget for cut in cuts)
    ordered = lengths_B[np.concatenate(cuts)]
    assert list(ordered) == sorted(lengths, reverse=True)


def test_what_fits_the_budget_is_one_pack() -> None:
    assert len(packs(np.array([9, 3, 8]), token_budget=20)) == 1
    assert len(packs(np.array([9, 3, 8]), token_budget=19)) > 1


@given(LENGTHS)
def test_every_token_has_one_place_and_padding_stays_in_its_own_text(lengths: list[int]) -> None:
    lengths_B = np.array(sorted(lengths, reverse=True))
    pack = lay_out(lengths_B)
    assert pack.places_P[pack.tokens_T].tolist() == list(range(lengths_B.sum()))
    assert len(pack.places_P) - len(pack.padding_Q) == lengths_B.sum()
    text_T = np.repeat(np.arange(len(lengths_B)), lengths_B)
    widths = np.concatenate([np.full(group.rows, group.width) for group in pack.groups])
    assert text_T[pack.places_P.numpy()].tolist() == np.repeat(np.arange(len(lengths_B)), widths).tolist()


@given(st.lists(st.integers(1, 512), min_size=1, max_size=9))
def test_no_other_groups_cost_less(lengths: list[int]) -> None:
    lengths = sorted(lengths, reverse=True)
    ends = range(1, len(lengths))
    found = cost(attention_groups(np.array(lengths)), lengths)
    for mask in range(1 << len(ends)):
        marks = [0, *(end for end in ends if mask >> (end - 1) & 1), len(lengths)]
        assert found <= cost(list(pairwise(marks)), lengths)


def test_rows_lie_end_to_end_with_positions_of_their_own() -> None:
    tokens = tokens_of([11, 12], [13])
    batch = pack_rows(tokens, np.array([0, 1]), labels_NT=np.array([[4], [5]]), max_length=8)
    assert batch.ids_T.tolist() == [101, 11, 12, 102, 101, 13, 102]
    assert batch.positions_T.tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert batch.labels_BT.tolist() == [[4], [5]]
    assert batch.pack.firsts_B.tolist() == [0, 4]
