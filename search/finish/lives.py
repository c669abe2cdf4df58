"""How often a job of a finish was begun and died, over all commands: counted as for a trial."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from search.engine.base import Call
from search.engine.local import await_orphan, read_result
from search.history import DIED, INTERRUPTED, NOTE_S, History
from trainer import Outcome


@dataclass
class Life:
    """One job. retries: deaths in a row, without a newer checkpoint, after which it is begun again.

    once_more: somebody asked for it by name, and it may be begun after more of them.
    """

    call: Call
    retries: int
    once_more: bool = False
    _began: float | None = None
    _noted_s: float = 0.0

    def __post_init__(self) -> None:
        self._history = History(Path(self.call.job.directory))

    @property
    def deaths(self) -> int:
        """In a row, without a newer checkpoint."""
        return self._history.deaths()

    @property
    def is_over(self) -> bool:
        """Has it died too often to be begun?"""
        return self.deaths > self.retries and not self.once_more

    def settle(self) -> bool:
        """Count the death of an attempt that took its worker along, as nobody was left to; was there one?"""
        directory = self._history.directory
        if not directory.is_dir():
            return False
        await_orphan(directory)
        left = read_result(directory)
        return self._history.settle(None if left is None else _status(left)) and self.deaths > 0

    def to_begin(self) -> Call:
        """The job, with a note of when it is begun, and now and then of how long it has lived."""
        return replace(self.call, started=self._begin, alive=self._note)

    def end(self, result: dict[str, Any] | None) -> dict[str, Any] | None:
        """Note what it came to; that, or that it died too often."""
        if result is None or self._began is None:
            return result
        lost = is_lost(result)
        # Whoever asked us to end may have ended its process as well.
        how = _status(result) if not lost else INTERRUPTED if self.call.observer.interrupted() else DIED
        self._end(how, cause=str(result.get("error")) if lost else None)
        if how == DIED:
            self.say_going_on()
        return self.given_up() if how == DIED and self.is_over else result

    def leave(self) -> None:
        """Note that the worker ended it; no death of its own."""
        if self._began is not None:
            with suppress(OSError):  # a disk that is full may be why
                self._end(INTERRUPTED)

    def given_up(self) -> dict[str, Any]:
        """What a job that died too often comes to."""
        told = f"{self._history.cause}, {self.deaths} times in a row without a newer checkpoint"
        return asdict(Outcome("failed", str(self._history.directory), error=told, error_kind="lost"))

    def say_going_on(self) -> None:
        """Say that it died, and that it is begun again if it is."""
        if self.deaths <= self.retries:
            words = self._history.going_on(self._history.cause, deaths=self.deaths, retries=self.retries)
            self.call.observer.say(words)

    def _begin(self, pid: int | None) -> None:
        self._history.begin(pid=pid)
        self._began, self._noted_s, self.once_more = time.monotonic(), 0.0, False

    def _note(self) -> None:
        assert self._began is not None
        seconds = time.monotonic() - self._began
        if seconds - self._noted_s >= NOTE_S:
            self._noted_s = seconds
            self._history.lives(seconds=seconds)

    def _end(self, how: str, *, cause: str | None = None) -> None:
        assert self._began is not None
        self._history.end(how, seconds=time.monotonic() - self._began, cause=cause)
        self._began = None


def is_lost(result: dict[str, Any] | None) -> bool:
    """Did the job's process die?"""
    return result is not None and result.get("error_kind") == "lost"


def _status(result: dict[str, Any]) -> str:
    """How a job ended that left a result: one that is no training leaves its record."""
    return str(result.get("status", "completed"))
