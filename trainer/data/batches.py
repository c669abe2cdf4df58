"""Batches: which rows an optimizer step takes, how it is cut into micro-batches, and their tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.data.tokens import Tokens
from trainer.errors import UserError

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Tensors of one micro-batch, all int64: ids and mask [B, L], labels [B, T] (-100: masked)."""

    ids_BL: torch.Tensor
    mask_BL: torch.Tensor
    labels_BT: torch.Tensor


def effective_batches(n: int, *, size: int, seed: int, epoch: int, drop_last: bool) -> list[Indices]:
    """Rows 0..n-1 in a random order cut into effective batches of `size`.

    The order follows from (seed, epoch) alone, so that a resumed run finds its place again.
    Raises `UserError` when `drop_last` would leave nothing to train on.
    """
    if drop_last and n < size:
        raise UserError(
            f"training.dataloader_drop_last drops the only batch: {n} rows, effective batch {size}; "
            "set it to false or lower the effective batch"
        )
    order = np.random.default_rng([seed, epoch]).permutation(n)
    end = n - n % size if drop_last else n
    return [order[start : start + size] for start in range(0, end, size)]


def micro_batches(lengths_B: NDArray[np.int64], *, token_budget: int) -> list[Indices]:
    """Cut an effective batch, longest rows first, so that rows x longest stays within `token_budget`.

    Gives positions within the effective batch. A row longer than the budget makes a micro-batch of one.
    """
    order = np.argsort(-lengths_B, kind="stable")
    cuts, start = [], 0
    while start < len(order):
        longest = max(1, int(lengths_B[order[start]]))
        end = start + max(1, token_budget // longest)
        cuts.append(order[start:end])
        start = end
    return cuts


def collate(tokens: Tokens, rows: Indices, *, labels_NT: NDArray[np.int64], max_length: int) -> Batch:
    """Tensors of these rows, padded to the longest of them and not to `max_length`."""
    contents = [tokens.row(int(row), max_length) for row in rows]
    width = max(map(len, contents))
    ids_BL = np.full((len(contents), width), tokens.pad_id, dtype=np.int64)
    mask_BL = np.zeros((len(contents), width), dtype=np.int64)
    for index, content in enumerate(contents):
        ids_BL[index, : len(content)] = content
        mask_BL[index, : len(content)] = 1
    labels_BT = torch.from_numpy(labels_NT[rows])
    return Batch(torch.from_numpy(ids_BL), torch.from_numpy(mask_BL), labels_BT)
