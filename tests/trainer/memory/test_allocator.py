"""The simulated caching allocator: its rules one by one, and laws that hold for any series."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.memory.allocator import BLOCK, MIB, Allocator, Change, DoesNotFit, rounded, segment_size

sizes = st.one_of(st.integers(1, 4096), st.integers(1, 3 * MIB), st.integers(MIB, 64 * MIB))


@st.composite
def histories(draw: st.DrawFn) -> list[Change]:
    """Allocations and frees in which nothing is freed twice or before it exists."""
    alive: dict[int, int] = {}
    changes: list[Change] = []
    for number in range(draw(st.integers(1, 60))):
        if draw(st.booleans()) and alive:
            gone = draw(st.sampled_from(sorted(alive)))
            changes.append((gone, -alive.pop(gone)))
        size = draw(sizes)
        alive[number] = size
        changes.append((number, size))
    return changes


@pytest.mark.parametrize(
    ("size", "segment"),
    [
        (1, 2),
        (1024, 2),
        (1025, 20),
        (10 * 1024 - 1, 20),
        (10 * 1024, 10),
        (10 * 1024 + 1, 12),
        (21 * 1024, 22),
    ],
)
def test_requests_are_served_from_segments_of_their_class(size: int, segment: int) -> None:
    assert segment_size(size * 1024) == segment * MIB


def test_a_freed_block_serves_the_next_request_that_fits() -> None:
    allocator = Allocator()
    allocator.replay([(1, 30 * MIB), (1, -30 * MIB), (2, 29 * MIB)])
    assert allocator.reserved == 30 * MIB


def test_the_smallest_block_that_fits_is_taken() -> None:
    allocator = Allocator()
    allocator.replay([(1, 40 * MIB), (2, 30 * MIB), (1, -40 * MIB), (2, -30 * MIB)])
    allocator.replay([(3, 30 * MIB), (4, 40 * MIB)])
    assert allocator.reserved == 70 * MIB


def test_a_large_block_is_split_only_if_more_than_a_mib_remains() -> None:
    whole, split = Allocator(), Allocator()
    whole.replay([(1, 30 * MIB), (1, -30 * MIB), (2, 29 * MIB), (3, MIB + 1)])
    assert whole.reserved == 50 * MIB
    split.replay([(1, 30 * MIB), (1, -30 * MIB), (2, 28 * MIB), (3, MIB + 1)])
    assert split.reserved == 30 * MIB


def test_neighbours_merge_when_they_are_free() -> None:
    allocator = Allocator()
    allocator.replay([(1, 6 * MIB), (2, 6 * MIB), (3, 6 * MIB)])
    allocator.replay([(1, -6 * MIB), (3, -6 * MIB), (2, -6 * MIB), (4, 20 * MIB)])
    assert allocator.reserved == 20 * MIB


def test_small_requests_never_use_large_segments() -> None:
    allocator = Allocator()
    allocator.replay([(1, 30 * MIB), (1, -30 * MIB), (2, BLOCK)])
    assert allocator.reserved == 32 * MIB


def test_at_the_limit_free_segments_are_flushed_once_before_it_gives_up() -> None:
    allocator = Allocator(limit=40 * MIB)
    allocator.replay([(1, 30 * MIB), (1, -30 * MIB), (2, 40 * MIB)])
    assert allocator.reserved == 40 * MIB
    with pytest.raises(DoesNotFit) as caught:
        allocator.allocate(3, 2 * MIB)
    assert caught.value.asked == 2 * MIB


def test_expandable_segments_grow_instead_of_leaving_slivers() -> None:
    growing = [(1, 30 * MIB), (1, -30 * MIB), (2, 35 * MIB), (2, -35 * MIB), (3, 41 * MIB)]
    fixed, expandable = Allocator(), Allocator(expandable=True)
    fixed.replay(growing)
    expandable.replay(growing)
    assert fixed.reserved == (30 + 36 + 42) * MIB
    assert expandable.reserved == 60 * MIB


@given(histories(), st.booleans())
def test_the_reserve_is_never_below_what_is_alive(history: list[Change], expandable: bool) -> None:
    allocator = Allocator(expandable=expandable)
    live = 0
    for number, size in history:
        allocator.replay([(number, size)])
        live += rounded(size) if size > 0 else -rounded(-size)
        assert live <= allocator.live <= allocator.pinned <= allocator.reserved


@given(histories(), st.booleans())
def test_the_same_history_gives_the_same_peaks(history: list[Change], expandable: bool) -> None:
    first, second = Allocator(expandable=expandable), Allocator(expandable=expandable)
    first.replay(history)
    second.replay(history)
    assert first.peaks() == second.peaks()


@given(histories(), st.booleans())
def test_when_all_is_freed_all_can_be_flushed(history: list[Change], expandable: bool) -> None:
    allocator = Allocator(expandable=expandable)
    allocator.replay(history)
    alive = {number for number, size in history if size > 0} - {
        number for number, size in history if size < 0
    }
    for number in alive:
        allocator.free(number)
    assert allocator.live == allocator.pinned == 0
    allocator.flush()
    assert expandable or allocator.reserved == 0


@given(histories())
def test_a_history_fits_in_what_it_reserved(history: list[Change]) -> None:
    free = Allocator()
    free.replay(history)
    Allocator(limit=free.reserved_peak).replay(history)


def test_a_small_segment_is_split_down_to_the_last_block() -> None:
    allocator = Allocator()
    allocator.replay([(number, 600 * 1024) for number in range(3)])
    assert allocator.reserved == 2 * MIB


def test_what_remains_of_a_large_block_stays_with_it_if_it_is_less_than_a_mib() -> None:
    allocator = Allocator()
    allocator.replay([(1, 30 * MIB), (1, -30 * MIB), (2, 29 * MIB + MIB // 2)])
    allocator.replay([(2, -(29 * MIB + MIB // 2)), (3, 30 * MIB)])
    assert allocator.reserved == 30 * MIB


def test_what_fills_the_limit_exactly_fits() -> None:
    allocator = Allocator(limit=40 * MIB)
    allocator.replay([(1, 20 * MIB), (2, 20 * MIB)])
    assert allocator.reserved == 40 * MIB


def test_a_segment_that_is_partly_in_use_is_not_flushed() -> None:
    allocator = Allocator(limit=40 * MIB)
    allocator.replay([(1, 8 * MIB)])
    with pytest.raises(DoesNotFit):
        allocator.allocate(2, 22 * MIB)
    assert allocator.reserved == 20 * MIB
