"""A training step held within the card: done again in smaller micro-batches where memory ran out."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trainer.cutting import Cutting, Packed, Padded
from trainer.memory.foreign import classified
from trainer.memory.recovery import LengthBudgets, Recovery, random_state, restore_random_state
from trainer.optimizer import parameters_of
from trainer.step import to_device
from trainer.team import Team, can_share, team_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.data.batches import Batch
    from trainer.data.packs import PackedBatch
    from trainer.parts import Parts


class GuardedStep:
    """The steps of a run over `parts.train`. budget: of their micro-batches; events: each time it shrank."""

    def __init__(self, parts: Parts, *, recovery: Recovery, events: list[dict[str, Any]]) -> None:
        self._parts = parts
        self._recovery = recovery
        full = parts.config.model.max_sequence_length
        multiple = parts.step.precision.token_multiple
        self._cutting: Cutting = (
            Packed(parts.train, max_length=full, multiple=multiple)
            if parts.step.model.packs
            else Padded(parts.train, max_length=full)
        )
        tokens = parts.config.micro_batch_size * full
        if parts.card.limit_bytes is None:
            tokens = min(tokens, self._cutting.unlimited_tokens)
        self.budget = LengthBudgets(tokens, full, events)

    def gradients(self, rows: NDArray[np.int64], *, where: str) -> float:
        """Accumulate the gradient of the effective batch `rows`; returns its loss.

        Raises:
            OutOfMemory: not even a single example fits.
        """
        step = self._parts.step
        lengths_B = self._lengths_N[rows]
        longest = int(lengths_B.max())
        totals = step.loss.totals(self._parts.train.labels_NT[rows])

        def work(tokens: int) -> float:
            team = self._team
            if team is None or tokens < team.size * longest:
                return float(step.gradients(self._micro_batches(rows, tokens), totals))
            # All members together have no more under way than one would have.
            batches = partial(self._micro_batches, tokens=tokens // team.size)
            longest_first = rows[np.argsort(-lengths_B, kind="stable")]
            return float(team.gradients(longest_first, batches, totals))

        budget = self.budget.at(longest)
        loss = self._recovery.run(
            work,
            budget=budget,
            cut=lambda tokens: self._cutting.largest(lengths_B, tokens),
            forget=step.forget,
            where=where,
        )
        self.budget.remember(longest, budget)
        return loss

    def update(self, *, where: str) -> None:
        """Apply the gradient. The optimizer's own step does not shrink with the micro-batch.

        Raises:
            OutOfMemory: it does not fit, and nothing could make it.
        """
        try:
            with classified():
                self._parts.step.update()
        except torch.OutOfMemoryError as error:
            raise self._recovery.exhausted(where, error) from error

    def verify(self) -> None:
        """One gradient pass as large as any will be, before it counts: it leaves nothing but a budget."""
        parts = self._parts
        if parts.card.limit_bytes is None:
            return
        before = random_state(parts.card.device)
        micro = parts.config.micro_batch_size
        # Where gradients accumulate, the peak comes with the second micro-batch.
        count = min(parts.config.effective_batch_size, 2 * micro)
        longest = np.argsort(-self._lengths_N, kind="stable")[:count]
        parts.step.model.train()
        self.gradients(longest, where="the trial of the largest micro-batch")
        parts.step.forget()
        restore_random_state(before, parts.card.device)

    @cached_property
    def _team(self) -> Team | None:
        """Made at the first step, when the weights are where they stay; None: a step is not shared out.

        A checkpointed layer draws its masks a second time, from torch's generator alone.
        """
        parts, model = self._parts, self._parts.step.model
        checkpointed = parts.config.optimization.gradient_checkpointing
        if not model.packs or parts.card.limit_bytes is not None or checkpointed or not can_share(model):
            return None
        step_tokens = float(self._lengths_N.mean()) * parts.config.effective_batch_size
        gradient_bytes = sum(one.nbytes for one in parameters_of(parts.step.optimizer))
        size = team_size(torch.get_num_threads(), step_tokens=step_tokens, gradient_bytes=gradient_bytes)
        return Team(parts.step, size) if size > 1 else None

    @cached_property
    def _lengths_N(self) -> NDArray[np.int64]:
        return self._parts.train.tokens.lengths(self.budget.full_length)

    def _micro_batches(self, rows: NDArray[np.int64], tokens: int) -> list[Batch | PackedBatch]:
        return [self._batch(rows[cut]) for cut in self._cutting.cuts(self._lengths_N[rows], tokens)]

    def _batch(self, rows: NDArray[np.int64]) -> Batch | PackedBatch:
        parts = self._parts
        return to_device(self._cutting.batch(rows), parts.card.device, pin=parts.config.data.pin_memory)
