"""What every contender of a race is given: the same rows, encoder, space, cores, time and card."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.race.log import Log
    from trainer.memory.card import Card

#: the space, in the field's words: (low, high), or choices
LEARNING_RATE = (2e-5, 5e-4)
WEIGHT_DECAY = (0.0, 0.1)
WARMUP = (0.0, 0.2)
EFFECTIVE_BATCH = (16, 32)

EVALUATION = "eval_f1_macro"


@dataclass(frozen=True)
class Rules:
    """One start of one contender.

    model, data: directories (train.jsonl and val.jsonl in the second). out: for what it writes. seconds:
    when it is to stop. started: the clock (time.time()) when its process was started. card: size of a
    virtual card to train under, or None for the CPU as it is. known: learning rates and effective
    batches that `cp-search init` writes down for this encoder, long before the clock starts.
    """

    model: str
    data: str
    out: str
    seed: int
    trials: int
    seconds: float
    cores: int
    epochs: int
    evaluations: int
    length: int
    started: float
    card: str | None = None
    known: tuple[tuple[float, int], ...] = ()

    def dump(self) -> str:
        """As JSON, for a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Rules:
        """What `dump` wrote."""
        written = json.loads(text)
        return cls(**{**written, "known": tuple((rate, batch) for rate, batch in written["known"])})

    @property
    def log(self) -> Path:
        """Where the contender's log lies."""
        return Path(self.out) / "log.jsonl"

    @property
    def parallel(self) -> int:
        """Trials at a time: one a core, but one in all where they share a card."""
        return 1 if self.card else self.cores

    @property
    def evaluations_in_all(self) -> int:
        """Of a trial that is not stopped."""
        return self.epochs * self.evaluations

    def open_card(self) -> Card:
        """The card that a trial trains under."""
        # Imports torch: a contender that needs it in its trials alone is not to pay for it twice.
        from trainer.memory.card import parse_card
        from trainer.memory.open_card import open_card

        return open_card(parse_card(self.card, virtual=True) if self.card else None)


#: a contender's search, from its start to its end
Search = Callable[[Rules, "Log"], None]
