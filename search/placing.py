"""On which engine a study's trials run, and what each asks of a node: the memory it is planned to take."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.engine.base import Engine
from search.engine.job import Job, TrainJob
from search.engine.local import LocalEngine
from search.engine.ray import Needs, RayEngine
from search.seats import GUESSED_BYTES, Seats
from trainer import UserError

if TYPE_CHECKING:
    from search.room import RoomBook
    from search.seats import Wish

ENGINES = ("local", "ray")


@dataclass
class Placing:
    """What a job asks of a node. gpus: the cluster has some. rooms: the plans, once there are any."""

    gpus: bool = False
    rooms: RoomBook | None = None

    def __call__(self, job: Job) -> Needs:
        """A share of a GPU as large as the plan's of a card; without GPUs the plan comes from host memory."""
        room = self.rooms.room_of(job.config) if self.rooms and isinstance(job, TrainJob) else None
        planned = room.needed_bytes if room and room.verdict == "fits" and room.needed_bytes else None
        if not self.gpus:
            return Needs(memory_bytes=GUESSED_BYTES + (planned or 0))
        whole = planned is None or room is None or not room.limit_bytes
        share = 1.0 if whole or not planned or not room else planned / room.limit_bytes
        return Needs(gpus=min(1.0, math.ceil(share * 100) / 100), memory_bytes=GUESSED_BYTES)


@contextmanager
def open_engine(name: str, address: str | None, placing: Placing) -> Iterator[Engine]:
    """The engine called `name`, for as long as the block runs.

    Raises:
        UserError: there is no such engine, Ray is not installed, or nobody answers at `address`.
    """
    if name not in ENGINES:
        raise UserError(f"--engine {name}: use {' or '.join(ENGINES)}")
    if name == "local":
        if address is not None:
            raise UserError("--address is that of a Ray cluster; add --engine ray")
        yield LocalEngine()
        return
    with RayEngine(address=address, needs=placing) as engine:
        placing.gpus = engine.has_gpus
        yield engine


def seats_on(engine: RayEngine, placing: Placing, wish: Wish) -> Seats:
    """As many trials at a time as the cluster holds of the largest one that fits, if no number was named."""
    largest = Needs(gpus=1.0 if placing.gpus else 0.0, memory_bytes=GUESSED_BYTES)
    rounds = max(1, (wish.trials or 10**6) // 3)
    return Seats(wish.jobs or max(1, min(engine.slots(largest), rounds)))
