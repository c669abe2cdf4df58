"""An effective batch computed side by side on a CPU's cores: a share of its texts, a copy of the model each.

Half of a small encoder's step are operations that one core does as fast as several (docs/decisions/0055). The
copies have the weights in common and gradients of their own, which are added up in the same order every time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from threading import Barrier
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from trainer.model.dropout import masks_from

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trainer.data.batches import Batch
    from trainer.data.packs import PackedBatch
    from trainer.model.classifier import Classifier
    from trainer.step import TrainStep

MOST_MEMBERS = 4
#: every member but the first holds gradients of its own (0.4 GiB of a base model), no more than this together
MOST_BYTES = 2**29
#: fewer tokens than these are not worth a member: products of few rows are slow
LEAST_TOKENS = 256

#: makes the micro-batches of some rows
Batches = Callable[["NDArray[np.int64]"], "Sequence[Batch | PackedBatch]"]


def team_size(threads: int, *, step_tokens: float, gradient_bytes: int) -> int:
    """Members for steps of so many tokens on so many CPU threads; 1: the step is not shared out.

    A number that divides the threads, so that none is idle. gradient_bytes: of the whole model.
    """
    others = MOST_BYTES // max(1, gradient_bytes)
    most = max(1, min(threads, MOST_MEMBERS, int(step_tokens) // LEAST_TOKENS, 1 + others))
    return next(size for size in range(most, 0, -1) if threads % size == 0)


def can_share(model: Classifier) -> bool:
    """Whether copies of `model` compute as it does: a user's hook in it would see its own share alone."""
    return not any(
        hooks
        for module in model.modules()
        for hooks in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    )


class Team:
    """Computes gradients of `step` with `size` members, each on its part of torch's threads.

    Of a step's random draws only a seed for each member comes from torch's generator, so that a run goes on
    from a checkpoint as it would have gone on.
    """

    def __init__(self, step: TrainStep, size: int) -> None:
        self.size = size
        self._step = step
        others = [replace(step, model=_sharing_weights(step.model)) for _ in range(size - 1)]
        self._members = [step, *others]
        self._generators = [torch.Generator() for _ in self._members]
        self._pool = _pool(size, threads=max(1, torch.get_num_threads() // size))

    def gradients(self, rows: NDArray[np.int64], batches: Batches, totals: Sequence[float]) -> Tensor:
        """As `TrainStep.gradients` of all of `rows`, which come longest first.

        A member's error is raised when all have ended; no gradient of the others is left then.
        """
        shares = [rows[index :: self.size] for index in range(self.size)]
        seeds = torch.randint(torch.iinfo(torch.int64).max, (self.size,)).tolist()

        def work(index: int) -> Tensor:
            with masks_from(self._generators[index].manual_seed(seeds[index])):
                return self._members[index].gradients(batches(shares[index]), totals)

        self._follow()
        jobs = [self._pool.submit(work, index) for index in range(self.size) if len(shares[index])]
        try:
            wait(jobs)
            losses = [job.result() for job in jobs]
            self._add_up()
        finally:
            for _, theirs in self._pairs():
                theirs.grad = None
        return torch.stack(losses).sum()

    def _follow(self) -> None:
        """What a callback did to the model's parameters since: froze them, or put others in their place."""
        for ours, theirs in self._pairs():
            theirs.requires_grad_(ours.requires_grad)
            if theirs.data_ptr() != ours.data_ptr():
                theirs.data = ours.detach()

    def _add_up(self) -> None:
        """Into the gradients of the step's own model, member after member."""
        for ours, theirs in self._pairs():
            if theirs.grad is None:
                continue
            if ours.grad is None:
                ours.grad = theirs.grad
            else:
                ours.grad.add_(theirs.grad)

    def _pairs(self) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        """Each parameter of the step's own model beside that of another member, member after member."""
        for member in self._members[1:]:
            yield from zip(self._step.model.parameters(), member.model.parameters(), strict=True)


def _pool(size: int, *, threads: int) -> ThreadPoolExecutor:
    """So many workers, each with so many threads of torch, whose own number stays what it was."""
    before, all_there = torch.get_num_threads(), Barrier(size)

    def settle() -> None:
        torch.get_num_threads()  # a thread that never asked would take the caller's number later
        torch.set_num_threads(threads)
        all_there.wait()

    pool = ThreadPoolExecutor(size)
    wait([pool.submit(settle) for _ in range(size)])
    torch.set_num_threads(before)
    return pool


def _sharing_weights(model: Classifier) -> Classifier:
    """A copy that computes with the same tensors; its parameters have gradients of their own."""
    memo: dict[int, object] = {
        id(one): nn.Parameter(one.detach(), requires_grad=one.requires_grad) for one in model.parameters()
    }
    for module in model.modules():
        held = [*module.buffers(recurse=False), *vars(module).values()]
        memo.update({id(one): one for one in held if isinstance(one, Tensor)})
    return copy.deepcopy(model, memo)
