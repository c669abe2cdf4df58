"""The attempts at one trial, in `attempts.jsonl` of its directory: when each began and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

from search.lines import append_line, read_lines

ATTEMPTS = "attempts.jsonl"
#: an attempt that ended so counts against the retries, unless it left a newer checkpoint
DIED = "died"
#: checkpoints that a run goes on from, the better first; `trainer.checkpoint` names them, and imports torch
RESUMABLE = ("last", "previous")


@dataclass(frozen=True)
class History:
    """What is known of the attempts at the trial in `directory`."""

    directory: Path

    def begin(self, *, pid: int | None) -> None:
        """Another attempt begins."""
        self._append({"began": _now(), "pid": pid, "mark": self.mark()})

    def end(self, how: str, *, seconds: float, cause: str | None = None) -> None:
        """The attempt ended; `how`: its status, or `DIED`."""
        begun = [record.get("mark") for record in self._records() if "began" in record]
        further = self.mark() not in (0, *begun[-1:])
        said = {"cause": cause} if cause else {}
        self._append({"ended": _now(), "how": how, "seconds": round(seconds, 3), "further": further, **said})

    @property
    def attempts(self) -> int:
        """How many were begun."""
        return sum("began" in record for record in self._records())

    @property
    def spent_s(self) -> float:
        """Seconds all attempts took whose end was seen."""
        return sum(float(record.get("seconds", 0.0)) for record in self._records())

    def deaths(self) -> int:
        """Attempts in a row, up to the last, that died without leaving a newer checkpoint behind."""
        ends = [record for record in self._records() if "how" in record]
        vain = takewhile(lambda record: record["how"] == DIED and not record.get("further"), reversed(ends))
        return sum(1 for _ in vain)

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


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
