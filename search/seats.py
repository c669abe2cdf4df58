"""Where trials sit while they run side by side: how many, on which card, with how many CPU threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.packing import Packing, Share, most_at_once
from trainer import show_size

if TYPE_CHECKING:
    from search.host import Host
    from search.room import SpaceRoom
    from trainer import CardSpec, Room

#: what a trial is taken to need of host memory before one was measured: libraries, data, a base model
GUESSED_BYTES = 2**30
#: host memory that is left alone
SPARE_BYTES = 2**29
#: trials at a time are at most this part of all: a sampler learns from trials that have ended
_ROUNDS = 3


@dataclass(frozen=True, eq=False)
class Seat:
    """What one trial may use. threads: of the CPU (None: torch decides). share: its part of a packed card."""

    card: CardSpec | None = None
    threads: int | None = None
    share: Share | None = None


class Seats:
    """The places of one worker: `count` of them, each with `threads`; on `cards` where there are some.

    alone_threads: until `deal_out` there is one place, with so many threads; None: there never is.
    """

    def __init__(
        self,
        count: int = 1,
        *,
        threads: int | None = None,
        cards: Sequence[CardSpec] = (),
        alone_threads: int | None = None,
    ) -> None:
        self.count = count
        self.threads = threads
        self.cards = tuple(cards)
        self._alone_threads = alone_threads
        self._packing = Packing(self.cards)
        self._taken: list[Seat] = []

    @property
    def open(self) -> int:
        """How many trials may run now."""
        return self.count if self._alone_threads is None else 1

    def deal_out(self) -> None:
        """Let trials run side by side from now on."""
        self._alone_threads = None

    def take(self, room: Room | None) -> Seat | None:
        """A seat for a trial with this planned room (None: not planned); None while there is no place."""
        if len(self._taken) >= self.open:
            return None
        share = self._share(room) if self.cards else None
        if self.cards and share is None:
            return None
        seat = Seat(share.card if share else None, self._alone_threads or self.threads, share)
        self._taken.append(seat)
        return seat

    def give_back(self, seat: Seat) -> None:
        """The trial has left it."""
        self._taken.remove(seat)
        if seat.share is not None:
            self._packing.release(seat.share)

    def line(self) -> str:
        """`2 trials at a time, 1 thread each`."""
        trials = "1 trial" if self.count == 1 else f"{self.count} trials"
        threads = "" if self.threads is None else f", {_threads(self.threads)} each"
        cards = ""
        if len(self.cards) > 1 or (self.cards and self.count > 1):
            cards = " on " + ", ".join(f"{card.name} ({show_size(card.total_bytes)})" for card in self.cards)
        return f"{trials} at a time{threads}{cards}"

    def _share(self, room: Room | None) -> Share | None:
        """One trial for each card needs no sharing."""
        packed = self.count > len(self.cards) and room is not None and room.verdict == "fits"
        return self._packing.admit(room.needed_bytes if packed and room else None)


@dataclass(frozen=True)
class Wish:
    """What was asked for. jobs: trials at a time (None: what is sensible). trials: the budget, if any."""

    jobs: int | None = None
    trials: int | None = None


def arrange(
    wish: Wish, *, host: Host, cards: Sequence[CardSpec] = (), room: SpaceRoom | None = None
) -> Seats:
    """Seats on this machine.

    Without a GPU the cores are dealt out: several trials with one thread each get more done than one with
    all threads (benchmarks/search.py, `jobs`). Only the first, if no number was named, has them all: a score
    is there sooner, and what a trial needs of host memory is known before others run beside it. On GPUs one
    trial a card, more where planned peaks leave room.
    """
    cores = host.cores()
    if wish.jobs is not None:
        count = wish.jobs
    else:
        sensible = [cores, max(1, (wish.trials or 10**6) // _ROUNDS), _in_host_memory(host)]
        if cards:
            sensible.append(_on(cards, room))
        count = max(1, min(sensible))
    on_gpu = any(not card.virtual for card in cards)
    allowed = min(cores, _threads_set() or cores)
    threads = None if count == 1 or on_gpu else max(1, min(cores // count, allowed))
    first_alone = wish.jobs is None and not cards and threads is not None and threads < allowed
    return Seats(count, threads=threads, cards=cards, alone_threads=allowed if first_alone else None)


def _in_host_memory(host: Host) -> int:
    return (host.memory().available_bytes - SPARE_BYTES) // GUESSED_BYTES


def _on(cards: Sequence[CardSpec], room: SpaceRoom | None) -> int:
    """Trials the cards can hold: as many as the smallest plan allows, one each where nothing was planned."""
    needs = [one.room.needed_bytes for one in room.planned if one.room.verdict == "fits"] if room else []
    return most_at_once(cards, least_bytes=min(needs)) if needs else len(cards)


def _threads_set() -> int | None:
    """What the user set for every process."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdigit() and int(text) > 0 else None


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"
