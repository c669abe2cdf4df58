"""Trials on cards by their planned peaks: never more than a card holds, never fewer than it could."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from search.packing import Packing, most_at_once
from trainer import CardSpec

GIB = 2**30


def card(total_gib: float, *, index: int = 0, context_gib: float = 0.5) -> CardSpec:
    context = int(context_gib * GIB)
    return CardSpec(f"card {index}", int(total_gib * GIB) - context, context, index=index)


def test_trials_are_put_on_a_card_until_the_next_plan_with_its_context_does_not_fit() -> None:
    packing = Packing([card(8)])
    shares = [packing.admit(2 * GIB) for _ in range(4)]
    assert [share is not None for share in shares] == [True, True, True, False]
    assert packing.free_bytes(0) == int(0.5 * GIB)


def test_room_that_a_trial_leaves_is_given_to_the_next() -> None:
    packing = Packing([card(4)])
    first = packing.admit(3 * GIB)
    assert first is not None
    assert packing.admit(3 * GIB) is None
    packing.release(first)
    assert packing.admit(3 * GIB) is not None


def test_the_emptiest_card_is_taken_first() -> None:
    packing = Packing([card(8, index=0), card(8, index=1)])
    taken = [packing.admit(GIB) for _ in range(4)]
    assert [share and share.card.index for share in taken] == [0, 1, 0, 1]


def test_a_share_limits_the_trial_to_its_plan_and_leaves_the_card_its_size() -> None:
    whole = card(24)
    share = Packing([whole]).admit(2 * GIB)
    assert share is not None
    assert share.card.limit_bytes == 2 * GIB
    assert share.card.total_bytes == whole.total_bytes


def test_a_trial_without_a_plan_or_with_one_that_is_tight_gets_a_card_for_itself() -> None:
    for needed in (None, 5 * GIB):
        packing = Packing([card(4)])
        share = packing.admit(needed)
        assert share is not None
        assert share.card.limit_bytes == card(4).limit_bytes
        assert packing.admit(GIB // 4) is None


def test_as_many_trials_fit_at_once_as_the_smallest_plan_allows() -> None:
    assert most_at_once([card(24), card(4, index=1)], least_bytes=2 * GIB) == 9 + 1
    assert most_at_once([card(2)], least_bytes=4 * GIB) == 1


@given(
    totals=st.lists(st.integers(2, 24), min_size=1, max_size=3),
    plans=st.lists(st.one_of(st.none(), st.integers(1, 30 * 4)), max_size=20),
    leaving=st.lists(st.integers(0, 100), max_size=20),
)
def test_no_card_ever_holds_more_than_it_has(
    totals: list[int], plans: list[int | None], leaving: list[int]
) -> None:
    packing = Packing([card(total, index=index) for index, total in enumerate(totals)])
    held = []
    for number, quarters in enumerate(plans):
        share = packing.admit(None if quarters is None else quarters * GIB // 4)
        if share is not None:
            held.append(share)
        assert all(packing.free_bytes(position) >= 0 for position in range(len(totals)))
        if held and number < len(leaving) and leaving[number] % 2:
            packing.release(held.pop(leaving[number] % len(held)))
    for share in held:
        packing.release(share)
    assert [packing.free_bytes(p) for p in range(len(totals))] == [total * GIB for total in totals]
