"""Rows dealt out to parts so that every part has its share of every class of every task at once.

Single rows: iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011, "On the stratification of
multi-label data", algorithm 1). Rows that may not part, a block, come before them, the largest block first,
each to where it takes most from the squared distance to what is wanted; single rows then make up for them.
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


class _Deal:
    """Parts being filled. Wanted rows [P] and rows of each class [C][P] are what is still missing.

    Plain lists: numpy is slower on three numbers.
    """

    def __init__(self, counts_BC: Numbers, sizes_B: Numbers, *, shares: Sequence[float]) -> None:
        self.parts_B = np.full(len(sizes_B), -1, dtype=np.int64)
        self._sizes, self._counts = sizes_B.tolist(), counts_BC.tolist()
        self._totals = [float(sizes_B.sum()), *counts_BC.sum(axis=0).tolist()]
        self.rows_P = [share * self._totals[0] for share in shares]
        self.classes_CP = [[share * total for share in shares] for total in self._totals[1:]]

    def give(self, block: int, part: int) -> None:
        """Put `block` into `part`."""
        self.parts_B[block] = part
        self.rows_P[part] -= self._sizes[block]
        for column, count in enumerate(self._counts[block]):
            self.classes_CP[column][part] -= count

    def best_part(self, block: int) -> int:
        """The part where `block` takes most from the sum of wanted² / total over rows and classes."""
        parts = range(len(self.rows_P))
        wanted = [self.rows_P, *self.classes_CP]
        weights = [
            count / total if total else 0.0
            for count, total in zip([self._sizes[block], *self._counts[block]], self._totals, strict=True)
        ]
        return max(parts, key=lambda part: sum(w * row[part] for w, row in zip(weights, wanted, strict=True)))


def _deal(
    counts_BC: Numbers, sizes_B: Numbers, *, shares: Sequence[float], rng: np.random.Generator
) -> Numbers:
    """The part of each block: blocks of several rows, then class after class, the rarest left first."""
    deal = _Deal(counts_BC, sizes_B, shares=shares)
    order = np.lexsort((rng.permutation(len(sizes_B)), -sizes_B))
    for block in order[sizes_B[order] > 1].tolist():
        deal.give(block, deal.best_part(block))
    while (left := order[deal.parts_B[order] < 0]).size:
        column = _rarest(counts_BC[left])
        chosen = left if column is None else left[counts_BC[left, column] > 0]
        wanted_P = deal.rows_P if column is None else deal.classes_CP[column]
        for block in chosen.tolist():
            deal.give(block, _neediest(wanted_P, deal.rows_P))
    return deal.parts_B


def _neediest(wanted_P: Sequence[float], rows_P: Sequence[float]) -> int:
    """The part that wants most; among equals the one that wants most rows of any class."""
    return max(range(len(rows_P)), key=lambda part: (wanted_P[part], rows_P[part]))


def _rarest(left_BC: Numbers) -> int | None:
    """The class with the fewest rows left to deal out; None: no class has any."""
    left_C = left_BC.sum(axis=0)
    if not left_C.any():
        return None
    return int(np.where(left_C > 0, left_C, np.iinfo(np.int64).max).argmin())
