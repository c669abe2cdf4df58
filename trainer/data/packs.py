"""Packs: texts laid end to end without padding, and how attention takes them up again.

All that a layer does token by token runs over the pack as it lies. Only attention needs whole texts: it
takes neighbours of like length together, padded for itself alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.data.batches import Indices
from trainer.data.tokens import Tokens

#: what one more group costs attention, in padded tokens: the calls of five small operations
#: (flat between 16 and 256 for a 4-layer encoder; benchmarks/throughput.py)
GROUP_TOKENS = 64


@dataclass(frozen=True)
class Group:
    """Texts that attention takes together: `rows` of them, padded to `width`.

    bias_R11W: 0 at tokens and the least float at padding, to add to scores; None: nothing is padded.
    """

    rows: int
    width: int
    bias_R11W: torch.Tensor | None


@dataclass(frozen=True)
class Pack:
    """B texts of T tokens in all, longest first, in groups that take P ≥ T places with their padding.

    places_P: the token that lies in each place (at padding some token of the same text); tokens_T: the place
    of each token; padding_Q: the places of padding. firsts_B, lengths_B: each text's first token, and its
    number of tokens. Where a pack was filled up, the last text is the filler: nothing reads it, and all of
    its tokens share one place.
    """

    groups: tuple[Group, ...]
    places_P: torch.Tensor
    tokens_T: torch.Tensor
    padding_Q: torch.Tensor
    firsts_B: torch.Tensor
    lengths_B: torch.Tensor


@dataclass(frozen=True)
class PackedBatch:
    """A micro-batch without padding: ids_T and positions_T (within each text) int64, labels as in `Batch`.

    A filler, if the pack has one, has ids and no labels.
    """

    ids_T: torch.Tensor
    positions_T: torch.Tensor
    labels_BT: torch.Tensor
    pack: Pack


def packs(lengths_B: NDArray[np.int64], *, token_budget: int) -> list[Indices]:
    """Cut an effective batch, longest rows first, into packs of like size within `token_budget`.

    Gives positions within the effective batch. A row longer than the budget makes a pack of one.
    """
    order = np.argsort(-lengths_B, kind="stable")
    ends_B = np.cumsum(lengths_B[order])
    share = ends_B[-1] / -(-int(ends_B[-1]) // token_budget)
    cuts, start = [], 0
    while start < len(order):
        before = ends_B[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends_B, before + share, side="right")))
        cuts.append(order[start:end])
        start = end
    return cuts


def pack_rows(
    tokens: Tokens, rows: Indices, *, labels_NT: NDArray[np.int64], max_length: int, multiple: int = 1
) -> PackedBatch:
    """Tensors of these rows, which come longest first, end to end, filled up to a `multiple` of tokens."""
    contents = [tokens.row(int(row), max_length) for row in rows]
    lengths_B = np.array([len(content) for content in contents])
    filler = -int(lengths_B.sum()) % multiple
    return PackedBatch(
        ids_T=_filled(contents, filler),
        positions_T=_filled([np.arange(length) for length in lengths_B], filler),
        labels_BT=torch.from_numpy(labels_NT[rows]),
        pack=lay_out(lengths_B, filler=filler),
    )


def _filled(parts: list[NDArray[Any]], filler: int) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([*parts, np.zeros(filler)], dtype=np.int64, casting="unsafe"))


def lay_out(lengths_B: NDArray[np.int64], *, filler: int = 0) -> Pack:
    """The pack of texts of these lengths, longest first, and of so many tokens that fill it up."""
    firsts_B = np.cumsum(lengths_B) - lengths_B
    groups, places, real = [], [], []
    for start, end in attention_groups(lengths_B):
        width, own_R1 = int(lengths_B[start]), lengths_B[start:end, None]
        at_W = np.arange(width)
        real_RW = at_W < own_R1
        places.append((firsts_B[start:end, None] + np.minimum(at_W, own_R1 - 1)).ravel())
        real.append(real_RW.ravel())
        groups.append(Group(end - start, width, _bias(real_RW)))
    tokens_T = np.flatnonzero(np.concatenate(real))
    if filler:
        groups.append(Group(1, 1, None))
        tokens_T = np.append(tokens_T, np.full(filler, sum(map(len, places))))
        places.append(lengths_B.sum(keepdims=True))
        real.append(np.ones(1, dtype=np.bool_))
        firsts_B, lengths_B = np.append(firsts_B, lengths_B.sum()), np.append(lengths_B, filler)
    real_P = np.concatenate(real)
    return Pack(
        groups=tuple(groups),
        places_P=torch.from_numpy(np.concatenate(places)),
        tokens_T=torch.from_numpy(tokens_T),
        padding_Q=torch.from_numpy(np.flatnonzero(~real_P)),
        firsts_B=torch.from_numpy(firsts_B),
        lengths_B=torch.from_numpy(lengths_B),
    )


def attention_groups(lengths_B: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Neighbours [start, end) of texts, longest first, at the least padding and `GROUP_TOKENS` a group.

    The cheapest way to cut the first n texts, for every n: exact, by dynamic programming.
    """
    count = len(lengths_B)
    cheapest = np.zeros(count + 1)
    starts = [0] * (count + 1)
    for end in range(1, count + 1):
        costs = cheapest[:end] + (end - np.arange(end)) * lengths_B[:end] + GROUP_TOKENS
        starts[end] = int(costs.argmin())
        cheapest[end] = costs[starts[end]]
    groups, end = [], count
    while end:
        groups.append((starts[end], end))
        end = starts[end]
    return groups[::-1]


def _bias(real_RW: NDArray[np.bool_]) -> torch.Tensor | None:
    if real_RW.all():
        return None
    bias_RW = np.where(real_RW, np.float32(0), np.finfo(np.float32).min)
    return torch.from_numpy(bias_RW)[:, None, None]
