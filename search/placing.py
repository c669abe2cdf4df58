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
    from trainer import Room

ENGINES = ("local", "ray")


@dataclass
class Placing:
    """What a job asks of a node. gpus: the cluster has some. rooms: the plans, once there are any.

    reserved_bytes: what CUDA takes of a card beside each job's tensors.
    """

    gpus: bool = False
    rooms: RoomBook | None = None
    reserved_bytes: int = 0

    def __call__(self, job: Job) -> Needs:
        """A share of a GPU as large as the plan's of a card; without GPUs the plan comes from host memory."""
        return self._needs(
            self.rooms.room_of(job.config) if self.rooms and isinstance(job, TrainJob) else None
        )

    def largest(self) -> Needs:
        """The most that a trial asks for, as far as trials were planned.

        A whole GPU: nothing there keeps a trial within its share, so only who names a number has them shared.
        """
        rooms = self.rooms.known() if self.rooms and not self.gpus else ()
        each = [self._needs(room) for room in rooms] or [self._needs(None)]
        return max(each, key=lambda needs: needs.memory_bytes)

    def _needs(self, room: Room | None) -> Needs:
        planned = room if room and room.verdict == "fits" and room.needed_bytes else None
        if not self.gpus:
            return Needs(memory_bytes=GUESSED_BYTES + (planned.needed_bytes if planned else 0))
        share = self._share(planned) if planned and planned.limit_bytes else 1.0
        return Needs(gpus=share, memory_bytes=GUESSED_BYTES)

    def _share(self, room: Room) -> float:
        """Of a card, in hundredths; rounded up, at most 1."""
        whole = room.limit_bytes + self.reserved_bytes
        return min(1.0, math.ceil(100 * (room.needed_bytes + self.reserved_bytes) / whole) / 100)


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
    """As many trials at a time as the cluster holds of the largest planned one, if no number was named."""
    rounds = max(1, (wish.trials or 10**6) // 3)
    return Seats(wish.jobs or max(1, min(engine.slots(placing.largest()), rounds)))
