"""The attempts at one trial, in `attempts.jsonl` of its directory: when each began and how it ended."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

from search.lines import append_line, read_lines

ATTEMPTS = "attempts.jsonl"
#: an attempt that ended so counts against the retries, unless it left a newer checkpoint
DIED = "died"
#: one that ended so goes on, and does not
INTERRUPTED = "interrupted"
#: of an attempt that died, and nobody was left to see it
UNSEEN = "its process and its worker died together"
#: of a running attempt, the time between two notes of how long it has lived
NOTE_S = 30.0
#: checkpoints that a run goes on from, the better first; `trainer.checkpoint` names them, and imports torch
RESUMABLE = ("last", "previous")


@dataclass(frozen=True)
class History:
    """What is known of the attempts at the trial in `directory`."""

    directory: Path

    def begin(self, *, pid: int | None) -> None:
        """Another attempt begins; `pid`: None: not in a process of this machine."""
        self._append({"began": _now(), "pid": pid, "on": _machine(), "mark": self.mark()})

    def end(self, how: str, *, seconds: float, cause: str | None = None) -> None:
        """The attempt ended; `how`: its status, or `DIED`."""
        begun = [int(record.get("mark", 0)) for record in self._records() if "began" in record]
        further = self.is_further(begun[-1] if begun else 0)
        said = {"cause": cause} if cause else {}
        self._append({"ended": _now(), "how": how, "seconds": round(seconds, 3), "further": further, **said})

    def lives(self, *, seconds: float) -> None:
        """The running attempt has taken that long: all that is known of it if nobody sees its end."""
        self._append({"seconds": round(seconds, 3)})

    def settle(self, how: str | None) -> bool:
        """Note how an attempt ended whose worker did not live to see it; True if there was one.

        how: the status its process left. None: that died as well, and counts if it was one of this machine:
        whatever took both may have been the trial's doing. Where machines share the directory another one may
        have begun it, which only slept.
        """
        ends = [record for record in self._records() if record.keys() & {"began", "how"}]
        if not ends or "how" in ends[-1]:
            return False
        here = bool({*ends[-1].get("on", _machine())} & {*_machine()})
        unseen = how is None and ends[-1]["pid"] is not None and here
        ending = DIED if unseen else how or INTERRUPTED
        self.end(ending, seconds=self._lived_s(), cause=UNSEEN if unseen else None)
        return True

    @property
    def attempts(self) -> int:
        """How many were begun."""
        return sum("began" in record for record in self._records())

    @property
    def spent_s(self) -> float:
        """Seconds all attempts took; of one whose end nobody saw, those it was seen alive."""
        return sum(self._each_lived_s())

    @property
    def cause(self) -> str:
        """Why the last attempt ended."""
        return next((str(one["cause"]) for one in reversed(self._records()) if "cause" in one), "")

    def _lived_s(self) -> float:
        return [0.0, *self._each_lived_s()][-1]

    def _each_lived_s(self) -> list[float]:
        """Seconds of each attempt; what was noted later includes what was noted before."""
        found: list[float] = []
        for record in self._records():
            if "began" in record or not found:
                found.append(0.0)
            found[-1] = float(record.get("seconds", found[-1]))
        return found

    def deaths(self) -> int:
        """Attempts in a row, up to the last, that died without leaving a newer checkpoint behind."""
        return len(self._vain())

    @property
    def took_along(self) -> bool:
        """Did one of those deaths take the worker along?"""
        return any(record.get("cause") == UNSEEN for record in self._vain())

    def _vain(self) -> list[dict[str, Any]]:
        ends = [record for record in self._records() if "how" in record]
        return list(
            takewhile(lambda record: record["how"] == DIED and not record.get("further"), reversed(ends))
        )

    def going_on(self, cause: str, *, deaths: int, retries: int) -> str:
        """For a person: that the attempts go on, and how many of them were in vain so far."""
        count = f" (retry {deaths} of {retries})" if deaths else ""
        if self.mark():
            return f"{cause}; it goes on from its checkpoint{count}"
        return f"{cause}; it starts again{count}"

    def is_further(self, mark: int) -> bool:
        """Is there a newer checkpoint than the one with that mark?"""
        return self.mark() not in (0, mark)

    def mark(self) -> int:
        """Tells the checkpoint that a run goes on from apart from every other; 0: there is none.

        Its time, to be compared for equality alone: once a clock was set back, the newer one has the earlier.
        """
        checkpoints = self.directory / "checkpoints"
        found = (checkpoints / name for name in RESUMABLE)
        return next((path.stat().st_mtime_ns for path in found if path.exists()), 0)

    def _records(self) -> list[dict[str, Any]]:
        return read_lines(self.directory / ATTEMPTS)

    def _append(self, record: dict[str, Any]) -> None:
        append_line(self.directory / ATTEMPTS, record)


def _machine() -> list[str]:
    """What tells this machine from others: its name, and on Linux its boot, which containers share.

    Either is enough: a machine keeps its name over boots, and a container made anew is given another one.
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    return [platform.node(), *([boot.read_text(encoding="ascii").strip()] if boot.exists() else [])]


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
