"""How an effective batch becomes micro-batches: padded under a token budget, or packed without padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from trainer.data.batches import collate, micro_batches
from trainer.data.packs import pack_rows, packs
from trainer.memory.recovery import Cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.data.batches import Batch, Indices
    from trainer.data.packs import PackedBatch
    from trainer.data.splits import Split

#: token budget where no card limits it (a CPU) and texts are padded: small micro-batches waste least
#: padding and stay in cache
PADDED_TOKENS = 384

#: the same for packs, which waste none: few, so that weights' gradients are written and added once
PACKED_TOKENS = 2048


class Cutting(Protocol):
    """A way to cut an effective batch; `rows` are row numbers of the training split."""

    unlimited_tokens: int

    def cuts(self, lengths_B: NDArray[np.int64], tokens: int) -> list[Indices]:
        """Positions in the effective batch, longest first, of each micro-batch."""

    def batch(self, rows: Indices) -> Batch | PackedBatch:
        """Tensors of one micro-batch, on the CPU."""

    def largest(self, lengths_B: NDArray[np.int64], tokens: int) -> Cut:
        """The largest micro-batch that `cuts` would form."""


class Padded:
    """Each micro-batch padded to its longest text."""

    unlimited_tokens = PADDED_TOKENS

    def __init__(self, split: Split, *, max_length: int) -> None:
        self._split = split
        self._max_length = max_length

    def cuts(self, lengths_B: NDArray[np.int64], tokens: int) -> list[Indices]:
        """Positions of each micro-batch, longest first."""
        return micro_batches(lengths_B, token_budget=tokens)

    def batch(self, rows: Indices) -> Batch:
        """Tensors of `rows`, padded."""
        labels_NT = self._split.labels_NT
        return collate(self._split.tokens, rows, labels_NT=labels_NT, max_length=self._max_length)

    def largest(self, lengths_B: NDArray[np.int64], tokens: int) -> Cut:
        """The largest of `cuts`, padding included."""
        return padded_cut(self.cuts(lengths_B, tokens), lengths_B)


class Packed:
    """Texts end to end, for a model that takes packs, which are filled up to a `multiple` of tokens."""

    unlimited_tokens = PACKED_TOKENS

    def __init__(self, split: Split, *, max_length: int, multiple: int = 1) -> None:
        self._split = split
        self._max_length = max_length
        self._multiple = multiple

    def cuts(self, lengths_B: NDArray[np.int64], tokens: int) -> list[Indices]:
        """Positions of each micro-batch, longest first."""
        return packs(lengths_B, token_budget=tokens)

    def batch(self, rows: Indices) -> PackedBatch:
        """Tensors of `rows`, end to end."""
        labels_NT = self._split.labels_NT
        return pack_rows(
            self._split.tokens,
            rows,
            labels_NT=labels_NT,
            max_length=self._max_length,
            multiple=self._multiple,
        )

    def largest(self, lengths_B: NDArray[np.int64], tokens: int) -> Cut:
        """The largest of `cuts`."""
        cuts = self.cuts(lengths_B, tokens)
        return Cut(max(int(lengths_B[cut].sum()) for cut in cuts), max(map(len, cuts)))


def padded_cut(cuts: Sequence[Indices], lengths_B: NDArray[np.int64]) -> Cut:
    """The largest of these micro-batches, with its padding."""
    tokens = max(len(cut) * int(lengths_B[cut].max()) for cut in cuts)
    return Cut(tokens, max(map(len, cuts)))
