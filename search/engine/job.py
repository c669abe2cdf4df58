"""What a child process runs, and the words it exchanges with its parent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from trainer import CardSpec, Config, Observer, Outcome, Report, Room


class Job(Protocol):
    """Something to do in a process of its own; picklable, so no open files and no tensors."""

    @property
    def directory(self) -> str:
        """Where the job works, and where `outcome.json` appears when it ends."""

    def run(self, observer: Observer, report: Report) -> Any:
        """Do it; returns a dataclass that JSON can hold, which becomes `outcome.json`."""


@dataclass(frozen=True)
class TrainJob:
    """One training run. `threads`: CPU threads torch may use (None: torch decides)."""

    config: Config
    directory: str
    card: CardSpec | None = None
    threads: int | None = None

    def run(self, observer: Observer, report: Report) -> Outcome:
        """Train in `directory`, going on from its checkpoint if it holds one."""
        import torch

        from trainer import run

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return run(
            self.config, report=report, directory=Path(self.directory), card=self.card, observer=observer
        )


@dataclass(frozen=True)
class Found:
    """What torch finds on this machine: the CUDA devices, as cards."""

    cards: list[CardSpec]


@dataclass(frozen=True)
class ProbeJob:
    """Ask torch what is there, in a process of its own: asking may start CUDA."""

    directory: str

    def run(self, observer: Observer, report: Report) -> Found:
        """Look."""
        from trainer import present_card

        cards: list[CardSpec] = []
        while (card := present_card(len(cards))) is not None:
            cards.append(card)
        return Found(cards)


@dataclass(frozen=True)
class Rooms:
    """Rooms of configurations, in their order."""

    rooms: list[Room]


@dataclass(frozen=True)
class RoomJob:
    """Plan which of `configs` a card can hold (None: the device that is here)."""

    configs: tuple[Config, ...]
    directory: str
    card: CardSpec | None

    def run(self, observer: Observer, report: Report) -> Rooms:
        """Plan one after the other, saying how far it got."""
        from trainer import plan_rooms

        found = []
        for room in plan_rooms(self.configs, card=self.card, observer=observer):
            found.append(room)
            observer.progress(len(found), len(self.configs), "Planning memory")
        return Rooms(found)


@dataclass(frozen=True)
class Said:
    """Child to parent: one line for a person."""

    line: str


@dataclass(frozen=True)
class Progressed:
    """Child to parent: `done` of `total` steps, and the live line."""

    done: int
    total: int
    status: str


@dataclass(frozen=True)
class Reported:
    """Child to parent: an evaluation; the child waits for an `Answered`."""

    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Answered:
    """Parent to child: whether to stop after this evaluation."""

    stop: bool


@dataclass(frozen=True)
class Interrupted:
    """Parent to child: checkpoint and end."""


FromChild: TypeAlias = Said | Progressed | Reported
FromParent: TypeAlias = Answered | Interrupted
