"""What a training loop works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.optim.lr_scheduler import LambdaLR

    from trainer.config.schema import Config
    from trainer.data.splits import Split
    from trainer.data.tasks import Task
    from trainer.experiment import Experiment
    from trainer.memory.card import Card
    from trainer.step import TrainStep


@dataclass(frozen=True)
class Parts:
    """What a loop works with; `run` puts it together. predicted_bytes: the planned peak; measures: for it."""

    config: Config
    tasks: Sequence[Task]
    train: Split
    val: Split
    step: TrainStep
    schedule: LambdaLR
    card: Card
    experiment: Experiment
    callbacks: Sequence[object]
    predicted_bytes: int | None = None
    measures: Sequence[str] = ()
