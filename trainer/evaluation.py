"""One pass over an evaluation split, under the card's limit: logits, loss and scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.batches import collate
from trainer.data.packs import pack_rows
from trainer.forward import Forward
from trainer.loss import MultiTaskLoss
from trainer.metrics import Scores, score
from trainer.model.classifier import Classifier

if TYPE_CHECKING:
    from trainer.data.batches import Indices
    from trainer.data.splits import Split
    from trainer.data.tasks import Task
    from trainer.forward import Compute
    from trainer.memory.recovery import Recovery, TokenBudget
    from trainer.step import Precision, TrainStep

    #: calls what computes with micro-batches of all rows of these lengths
    Over = Callable[[NDArray[np.int64], Compute], None]


@dataclass(frozen=True)
class Evaluation:
    """logits_NC in row order, the loss over the whole split, and the scores."""

    logits_NC: NDArray[np.float32]
    loss: float
    scores: Scores


@dataclass(frozen=True)
class Evaluator:
    """Evaluates with the model and the loss of `step`. budget: of a micro-batch; smaller after an OOM."""

    step: TrainStep
    tasks: Sequence[Task]
    budget: TokenBudget
    recovery: Recovery

    def evaluate(self, split: Split, *, where: str) -> Evaluation:
        """Score `split`, in smaller micro-batches where it must; `where` is for the record of an OOM.

        Raises:
            OutOfMemory: not even a single text fits.
        """
        step = self.step
        logits_NC = infer(
            step.model,
            split,
            max_length=self.budget.full_length,
            precision=step.precision,
            over=partial(Forward(self.recovery, self.budget).over, where=where),
        )
        return evaluate(step.model, split, tasks=self.tasks, loss=step.loss, logits_NC=logits_NC)


def evaluate(
    model: Classifier, split: Split, *, tasks: Sequence[Task], loss: MultiTaskLoss, logits_NC: Tensor
) -> Evaluation:
    """Loss and scores of logits that `infer` gave for `split`; `model` cuts them into tasks."""
    device = next(loss.buffers()).device
    labels_NT = torch.from_numpy(split.labels_NT).to(device)
    logits = model.split(logits_NC.to(device))
    value = float(loss(logits, labels_NT, loss.totals(split.labels_NT)))
    predicted_NT = torch.stack([part_NC.argmax(1) for part_NC in logits], dim=1).cpu().numpy()
    return Evaluation(logits_NC.numpy(), value, score(predicted_NT, split.labels_NT, tasks=tasks))


@torch.inference_mode()
def infer(model: Classifier, split: Split, *, max_length: int, precision: Precision, over: Over) -> Tensor:
    """Float32 logits_NC on the CPU, in row order; `over` cuts the rows into micro-batches."""
    model.eval()
    device = next(model.parameters()).device
    lengths_N = split.tokens.lengths(max_length)
    logits_NC = torch.empty(len(lengths_N), sum(model.sizes))

    def compute(rows: Indices) -> None:
        with precision.autocast():
            part_BC = logits_of(rows)
        logits_NC[torch.from_numpy(rows)] = part_BC.float().cpu()

    def logits_of(rows: Indices) -> Tensor:
        tokens, labels_NT = split.tokens, split.labels_NT
        if model.packs:
            multiple = precision.token_multiple
            return model.packed(
                pack_rows(tokens, rows, labels_NT=labels_NT, max_length=max_length, multiple=multiple)
            )
        batch = collate(tokens, rows, labels_NT=labels_NT, max_length=max_length)
        logits_BC: Tensor = model(batch.ids_BL.to(device), batch.mask_BL.to(device))
        return logits_BC

    over(lengths_N, compute)
    return logits_NC
