"""What a run says of itself while it goes: the live line, its evaluations, and what is worth a warning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trainer.memory.card import show_size
from trainer.sameness import Sameness

if TYPE_CHECKING:
    from trainer.config.schema import Config
    from trainer.journal import Journal
    from trainer.memory.card import Card
    from trainer.metrics import Scores

#: a line past this share of the card is a warning (guide: 3.5 of 4 GB)
CROWDED = 7 / 8


class Commentary:
    """Speaks on `journal`; steps: of the whole run."""

    def __init__(self, config: Config, *, card: Card, journal: Journal) -> None:
        self._monitors = config.callbacks.monitor_gpu_memory
        self._card = card
        self._journal = journal
        self._sameness = Sameness(config.training)
        self._warned = False

    def live_line(self, step: int, *, loss: float, rate: float) -> str:
        """The line that changes with every step."""
        line = f"Step {step} | Loss: {loss:.4f} | LR: {rate:.2e}"
        live, limit = self._card.live_bytes(), self._card.limit_bytes
        if live is None or limit is None or not self._monitors:
            return line
        if not self._warned:  # asking a CUDA device for its peak is not free
            self._warn_when_crowded(limit)
        return f"{line} | GPU Mem: {_share(live, limit)}"

    def evaluation(self, metrics: Mapping[str, float], *, epoch: float) -> None:
        """Say what an evaluation, made after `epoch` passes over the rows, measured."""
        self._journal.say(
            f"Epoch {epoch:.2f} | train_loss {metrics['train_loss']:.4f}"
            f" | eval_loss {metrics['eval_loss']:.4f} | eval_f1_macro {metrics['eval_f1_macro']:.4f}"
            f" | eval_accuracy {metrics['eval_accuracy']:.4f}"
        )

    def hint(self, scores: Scores, *, step: int, last: bool) -> None:
        """Warn of a model that gives every text one answer."""
        if hint := self._sameness.hint(scores, step=step, last=last):
            self._journal.warn(hint)

    def _warn_when_crowded(self, limit: int) -> None:
        peak = self._card.peak_bytes() or 0
        if peak > CROWDED * limit:
            self._warned = True
            self._journal.warn(f"{show_size(peak)} of the card's {show_size(limit)} are in use")


def _share(live: int, limit: int) -> str:
    """`3.2GB/4GB`; of a card below 1 GiB, as is played on a CPU, `45MB/64MB`."""
    if limit < 2**30:
        return f"{live / 2**20:.0f}MB/{limit / 2**20:.0f}MB"
    return f"{live / 2**30:.1f}GB/{limit / 2**30:.0f}GB"
