"""What torch's CUDA caching allocator would reserve for a series of allocations and frees.

A simulation written from the rules of c10/cuda/CUDACachingAllocator.cpp (torch 2.x): sizes in blocks
of 512 B; requests up to 1 MiB are cut from 2 MiB segments, up to 10 MiB from 20 MiB segments, larger ones
get a segment of their own rounded to 2 MiB; the smallest free block that fits is taken and split; neighbours
merge when freed; before it gives up, the allocator returns every wholly free segment to the device.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass

MIB = 2**20

# Constants of c10/cuda/CUDACachingAllocator.cpp, by their names there (BLOCK: kMinBlockSize).
BLOCK = 512
SMALL_SIZE = MIB
SMALL_BUFFER = 2 * MIB
LARGE_BUFFER = 20 * MIB
MIN_LARGE_ALLOC = 10 * MIB
ROUND_LARGE = 2 * MIB

#: (storage number, bytes): positive when it is allocated, negative when it is freed
Change = tuple[int, int]


def rounded(size: int) -> int:
    """`size` in whole blocks."""
    return -(-size // BLOCK) * BLOCK


class DoesNotFit(Exception):
    """The simulated device is full, even after the cache was flushed. `asked` in bytes."""

    def __init__(self, asked: int) -> None:
        self.asked = asked
        super().__init__(f"{asked} bytes do not fit")


@dataclass(frozen=True)
class Reserve:
    """Peaks of a replay, in bytes.

    allocated: the blocks of live storages. reserved: what the allocator took from the device.
    pinned: the most that lay in segments with at least one live block, hence could not be flushed.
    """

    allocated: int
    pinned: int
    reserved: int


@dataclass(eq=False)
class _Segment:
    size: int
    small: bool
    live: int = 0


class _Block:
    """A piece of a segment; `previous` and `next` are its neighbours there."""

    __slots__ = ("address", "free", "next", "previous", "segment", "size")

    def __init__(self, address: int, size: int, segment: _Segment) -> None:
        self.address = address
        self.size = size
        self.segment = segment
        self.free = False
        self.previous: _Block | None = None
        self.next: _Block | None = None

    @property
    def whole(self) -> bool:
        """True when the block is all of its segment."""
        return self.previous is None and self.next is None


class _Pool:
    """Free blocks of one size class, smallest and then lowest first."""

    def __init__(self, *, small: bool) -> None:
        self.small = small
        self._order: list[tuple[int, int]] = []
        self._blocks: dict[int, _Block] = {}
        self.tail: _Block | None = None  # last block of the growing segment, if segments expand

    def add(self, block: _Block) -> None:
        block.free = True
        insort(self._order, (block.size, block.address))
        self._blocks[block.address] = block

    def remove(self, block: _Block) -> None:
        block.free = False
        del self._order[bisect_left(self._order, (block.size, block.address))]
        del self._blocks[block.address]

    def best_fit(self, size: int) -> _Block | None:
        """The smallest free block of at least `size`; the growing tail only if nothing else fits."""
        for _, address in self._order[bisect_left(self._order, (size, 0)) :]:
            if self._blocks[address] is not self.tail:
                return self._blocks[address]
        tail = self.tail
        return tail if tail is not None and tail.free and tail.size >= size else None

    def merge(self, first: _Block, second: _Block) -> _Block:
        """`first` grown by its neighbour `second`."""
        first.size += second.size
        first.next = second.next
        if second.next is not None:
            second.next.previous = first
        if self.tail is second:
            self.tail = first
        return first

    def whole_blocks(self) -> list[_Block]:
        """Free blocks that are whole segments."""
        return [block for block in self._blocks.values() if block.whole]


class Allocator:
    """A simulated device. `limit`: bytes it may reserve (None: no limit)."""

    def __init__(self, *, limit: int | None = None, expandable: bool = False) -> None:
        self.limit = limit
        self.expandable = expandable
        self.reserved = self.reserved_peak = 0
        self.live = self.live_peak = 0
        self.pinned = self.pinned_peak = 0
        self._pools = (_Pool(small=True), _Pool(small=False))
        self._held: dict[int, _Block] = {}
        self._end = 0

    def replay(self, changes: Iterable[Change]) -> None:
        """Carry out `changes` in order; raises `DoesNotFit`."""
        for number, size in changes:
            if size > 0:
                self.allocate(number, size)
            else:
                self.free(number)

    def allocate(self, number: int, size: int) -> None:
        """Allocate storage `number`; raises `DoesNotFit`."""
        size = max(BLOCK, rounded(size))
        pool = self._pools[size > SMALL_SIZE]
        block = pool.best_fit(size)
        if block is not None:
            pool.remove(block)
        else:
            block = self._expand(pool, size) if self.expandable else self._new_segment(size)
        self._hold(number, self._split(block, size, pool))

    def free(self, number: int) -> None:
        """Free storage `number`; its block merges with free neighbours."""
        block = self._held.pop(number)
        self.live -= block.size
        block.segment.live -= 1
        if not block.segment.live:
            self.pinned -= block.segment.size
        self._give_back(block)

    def peaks(self) -> Reserve:
        """The peaks so far."""
        return Reserve(self.live_peak, self.pinned_peak, self.reserved_peak)

    def flush(self) -> None:
        """Return wholly free segments to the device, as torch does before it gives up."""
        for pool in self._pools:
            for block in pool.whole_blocks():
                if block is not pool.tail:  # its pages would be mapped again by the next request
                    pool.remove(block)
                    self.reserved -= block.size

    def _hold(self, number: int, block: _Block) -> None:
        self._held[number] = block
        self.live += block.size
        self.live_peak = max(self.live_peak, self.live)
        if not block.segment.live:
            self.pinned += block.segment.size
            self.pinned_peak = max(self.pinned_peak, self.pinned)
        block.segment.live += 1

    def _new_segment(self, size: int) -> _Block:
        length, small = segment_size(size), size <= SMALL_SIZE
        self._take(length, asked=size)
        block = _Block(self._end, length, _Segment(length, small))
        self._end += length + LARGE_BUFFER  # a gap: segments never merge
        return block

    def _expand(self, pool: _Pool, size: int) -> _Block:
        """Map whole pages behind the pool's one growing segment (Note [Expandable Segments])."""
        page = SMALL_BUFFER if pool.small else LARGE_BUFFER
        tail = pool.tail
        spare = tail.size if tail is not None and tail.free else 0
        length = -(-(size - spare) // page) * page
        self._take(length, asked=size)
        if tail is None:
            pool.tail = _Block((1 + pool.small) << 50, length, _Segment(length, pool.small))
            return pool.tail
        self._lengthen(tail.segment, length)
        if tail.free:
            pool.remove(tail)
            tail.size += length
            return tail
        pool.tail = _linked(tail, _Block(tail.address + tail.size, length, tail.segment))
        return pool.tail

    def _lengthen(self, segment: _Segment, length: int) -> None:
        segment.size += length
        if segment.live:
            self.pinned += length
            self.pinned_peak = max(self.pinned_peak, self.pinned)

    def _take(self, length: int, *, asked: int) -> None:
        if self.limit is not None and self.reserved + length > self.limit:
            self.flush()
            if self.reserved + length > self.limit:
                raise DoesNotFit(asked)
        self.reserved += length
        self.reserved_peak = max(self.reserved_peak, self.reserved)

    def _split(self, block: _Block, size: int, pool: _Pool) -> _Block:
        """The front of `block`; what remains goes back if should_split() would cut it off."""
        remaining = block.size - size
        if remaining >= BLOCK if pool.small or self.expandable else remaining > SMALL_SIZE:
            block.size = size
            rest = _linked(block, _Block(block.address + size, remaining, block.segment))
            if pool.tail is block:
                pool.tail = rest
            pool.add(rest)
        return block

    def _give_back(self, block: _Block) -> None:
        pool = self._pools[not block.segment.small]
        if block.previous is not None and block.previous.free:
            pool.remove(block.previous)
            block = pool.merge(block.previous, block)
        if block.next is not None and block.next.free:
            pool.remove(block.next)
            block = pool.merge(block, block.next)
        pool.add(block)


def segment_size(size: int) -> int:
    """Bytes taken from the device for a request that no cached block can serve."""
    if size <= SMALL_SIZE:
        return SMALL_BUFFER
    if size < MIN_LARGE_ALLOC:
        return LARGE_BUFFER
    return -(-size // ROUND_LARGE) * ROUND_LARGE


def _linked(block: _Block, behind: _Block) -> _Block:
    behind.previous, behind.next = block, block.next
    if block.next is not None:
        block.next.previous = behind
    block.next = behind
    return behind
