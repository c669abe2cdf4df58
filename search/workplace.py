"""Where and how the trials of a study are run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from search.audience import Audience
from search.engine.base import Engine
from search.engine.job import Job, TrainJob
from search.host import Host
from search.ownership import trial_directory
from search.room import RoomBook
from search.seats import Seat, Seats

if TYPE_CHECKING:
    from trainer import CardSpec, Config

MakeJob = Callable[["Config", str, Seat], Job]


def train_job(config: Config, directory: str, seat: Seat) -> Job:
    """What a child runs for a configuration in a directory, on a seat."""
    return TrainJob(config, directory, seat.card, seat.threads)


@dataclass(frozen=True)
class Workplace:
    """Where and how trials are run: their parent directory, the engine, the card, who watches.

    directory: `studies/NAME`. card: what the finish runs on; trials run on `seats`. make_job: what a child
    runs. rooms: what the card can hold; None: no card. clock: seconds that only go forward.
    """

    directory: Path
    engine: Engine
    audience: Audience
    card: CardSpec | None = None
    make_job: MakeJob = train_job
    rooms: RoomBook | None = None
    seats: Seats = field(default_factory=Seats)
    host: Host = field(default_factory=Host)
    clock: Callable[[], float] = time.monotonic

    def trial_directory(self, number: int) -> Path:
        """`studies/NAME/trial-0007`."""
        return trial_directory(self.directory, number)
