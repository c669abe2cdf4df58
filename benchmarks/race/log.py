"""What a contender writes while it searches: JSON Lines of evaluations and of trials that ended."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Ended = Literal["finished", "pruned", "oom", "failed"]


class Log:
    """Appends lines; several threads, and several processes, may write."""

    def __init__(self, path: Path, *, started: float) -> None:
        self._path = path
        self._started = started
        self._lock = threading.Lock()

    def evaluated(self, trial: int, f1: float) -> None:
        """A trial has this validation macro-F1 now."""
        self._write(trial=trial, f1=f1)

    def ended(self, trial: int, how: Ended) -> None:
        """A trial is over."""
        self._write(trial=trial, ended=how)

    def _write(self, **line: Any) -> None:
        seconds = round(time.time() - self._started, 2)
        with self._lock, self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"seconds": seconds, **line}) + "\n")


@dataclass(frozen=True)
class Course:
    """A log, read: (seconds, macro-F1) of every evaluation in order, and how trials ended.

    open: trials that had evaluations and no end: stopped by their scheduler, or when time was up.
    """

    evaluations: Sequence[tuple[float, float]]
    ends: Sequence[str]
    open: int

    @classmethod
    def read(cls, path: Path) -> Course:
        """From a file; none: the contender died before its first line."""
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
        lines.sort(key=lambda line: float(line["seconds"]))
        scored = [line for line in lines if "f1" in line]
        ends = {line["trial"]: str(line["ended"]) for line in lines if "ended" in line}
        return cls(
            evaluations=[(float(line["seconds"]), float(line["f1"])) for line in scored],
            ends=list(ends.values()),
            open=len({line["trial"] for line in scored} - set(ends)),
        )

    def reached(self, target: float) -> float | None:
        """Seconds until a macro-F1 of at least `target`; None: never."""
        return next((seconds for seconds, f1 in self.evaluations if f1 >= target), None)

    def best(self, until_s: float) -> float | None:
        """The best macro-F1 seen within `until_s`; None: there was none yet."""
        return max((f1 for seconds, f1 in self.evaluations if seconds <= until_s), default=None)

    @property
    def last_s(self) -> float:
        """When the last evaluation was."""
        return self.evaluations[-1][0] if self.evaluations else 0.0
