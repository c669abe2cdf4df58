"""Rows dealt out to parts so that every part has its share of every class of every task at once.

Iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011, "On the stratification of multi-label data",
algorithm 1), with blocks of rows in place of single rows: rows of one block never part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Numbers = NDArray[np.int64]


def stratify(classes_NT: Numbers, *, blocks_N: Numbers, shares: Sequence[float], seed: int) -> Numbers:
    """The part [N] of every row, 0 to len(shares) - 1.

    classes_NT: number of each row's class in each task, negative for none. blocks_N: rows of one number
    stay together, numbers from 0. shares: wanted share of the rows in each part, summing to 1.
    """
    counts_BC, sizes_B = _block_counts(classes_NT, blocks_N)
    parts_B = _deal(counts_BC, sizes_B, shares=shares, rng=np.random.default_rng(seed))
    return parts_B[blocks_N]


def join_blocks(*keys: Sequence[object]) -> Numbers:
    """Blocks [N] of rows that share a value in any of `keys`, also by way of others; None joins nothing."""
    count = len(keys[0])
    nodes, offset = [], count
    for values in keys:
        numbers = _numbered(values, start=offset)
        offset = max(offset, int(numbers.max(initial=offset - 1)) + 1)
        nodes.append(numbers)
    rows = np.tile(np.arange(count), len(keys))
    edges = (np.ones(len(rows), dtype=np.int8), (rows, np.concatenate(nodes)))
    _, blocks = connected_components(coo_array(edges, shape=(offset, offset)), directed=False)
    _, numbers = np.unique(blocks[:count], return_inverse=True)
    return numbers.astype(np.int64)


def _numbered(values: Sequence[object], *, start: int) -> Numbers:
    """A number from `start` for each value; every None gets its own."""
    found: dict[object, int] = {}
    return np.array(
        [
            start + found.setdefault(("row", row) if value is None else ("value", value), len(found))
            for row, value in enumerate(values)
        ],
        dtype=np.int64,
    )


def _block_counts(classes_NT: Numbers, blocks_N: Numbers) -> tuple[Numbers, Numbers]:
    """Rows of each (task, class) in each block [B, C], and of each block [B]."""
    blocks, columns = int(blocks_N.max()) + 1, []
    for classes_N in classes_NT.T:
        for number in range(int(classes_N.max(initial=-1)) + 1):
            columns.append(np.bincount(blocks_N[classes_N == number], minlength=blocks))
    counts = np.stack(columns, axis=1) if columns else np.zeros((blocks, 0), np.int64)
    return counts, np.bincount(blocks_N, minlength=blocks)


def _deal(
    counts_BC: Numbers, sizes_B: Numbers, *, shares: Sequence[float], rng: np.random.Generator
) -> Numbers:
    """The part of each block: class after class, the rarest left first, to the part that wants it most.

    Wanted, [P] for rows and [C][P] for classes, are plain lists: numpy is slower on three numbers.
    """
    rows_P = [share * float(sizes_B.sum()) for share in shares]
    classes_CP = [[share * total for share in shares] for total in counts_BC.sum(axis=0).tolist()]
    parts_B = np.full(len(sizes_B), -1, dtype=np.int64)
    # Big blocks first, while there is room to make up for them; equal ones in random order.
    order = np.lexsort((rng.permutation(len(sizes_B)), -sizes_B))
    sizes, counts = sizes_B.tolist(), counts_BC.tolist()
    while (chosen := _rarest(counts_BC, parts_B)) is not None or (parts_B < 0).any():
        left = order[parts_B[order] < 0]
        for block in (left if chosen is None else left[counts_BC[left, chosen] > 0]).tolist():
            part = _neediest(rows_P if chosen is None else classes_CP[chosen], rows_P)
            parts_B[block] = part
            rows_P[part] -= sizes[block]
            for column, count in enumerate(counts[block]):
                classes_CP[column][part] -= count
    return parts_B


def _neediest(wanted_P: Sequence[float], rows_P: Sequence[float]) -> int:
    """The part that wants most; among equals the one that wants most rows of any class."""
    return max(range(len(rows_P)), key=lambda part: (wanted_P[part], rows_P[part]))


def _rarest(counts_BC: Numbers, parts_B: Numbers) -> int | None:
    """The class with the fewest rows left to deal out; None: no class has any."""
    left_C = counts_BC[parts_B < 0].sum(axis=0)
    if not left_C.any():
        return None
    return int(np.where(left_C > 0, left_C, np.iinfo(np.int64).max).argmin())
