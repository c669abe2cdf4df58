"""Forward passes without gradients: by length, longest first, smaller where memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from trainer.cutting import padded_cut
from trainer.data.batches import micro_batches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trainer.data.batches import Indices
    from trainer.memory.recovery import Recovery, TokenBudget

#: computes the rows it is given and keeps what came of it; may be asked for a row twice
Compute = Callable[["Indices"], None]


class Forward:
    """Forward passes that do not depend on one another, each done again in halves where it does not fit.

    `budget` remembers what had to be given up.
    """

    def __init__(self, recovery: Recovery, budget: TokenBudget) -> None:
        self._recovery = recovery
        self._budget = budget

    def over(self, lengths_N: NDArray[np.int64], compute: Compute, *, where: str) -> None:
        """`compute` of all rows by length, longest first, in micro-batches within the budget.

        where: for the record ("evaluation 3").

        Raises:
            OutOfMemory: a single row does not fit.
        """
        for rows in micro_batches(lengths_N, token_budget=self._budget.tokens):
            self._one(rows, lengths_N[rows], compute, where)

    def _one(self, rows: Indices, lengths_B: NDArray[np.int64], compute: Compute, where: str) -> None:
        def cuts(tokens: int) -> list[Indices]:
            return micro_batches(lengths_B, token_budget=tokens)

        def work(tokens: int) -> None:
            for cut in cuts(tokens):
                compute(rows[cut])

        self._recovery.run(
            work,
            budget=self._budget,
            cut=lambda tokens: padded_cut(cuts(tokens), lengths_B),
            forget=lambda: None,
            where=where,
        )
