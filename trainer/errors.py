"""Every error the product raises on purpose, as one tree.

Three branches: what a user can mend (`UserError`, exit 2), what ends one trial
(`TrialEnded`), and what ends a whole study (`StudyEnded`, exit 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class CpSearchError(Exception):
    """Root of the tree; catch it to catch everything raised on purpose."""


class UserError(CpSearchError):
    """Something the user can mend: the message says what, where and how. Exit code 2."""


@dataclass(frozen=True)
class Place:
    """A position in a file the user wrote; `line` and `column` count from 1."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        parts = [self.file, self.line, self.column]
        return ":".join(str(part) for part in parts if part is not None)


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: where it is and what to do about it."""

    place: Place | None
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class ConfigError(UserError):
    """A configuration or space that cannot be used; carries every problem found, not the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class DataError(UserError):
    """A data file that cannot be used; names the file and, where there is one, the line."""

    def __init__(self, message: str, *, file: Path | str, line: int | None = None) -> None:
        self.place = Place(str(file), line)
        super().__init__(f"{self.place}: {message}")


class ModelError(UserError):
    """A model that cannot be had or loaded."""


class CardTooSmall(UserError):
    """A finished model, or one text beside its weights, does not fit the card it is to compute on."""


class Unplannable(ModelError):
    """A model whose training step cannot be run without real numbers; nothing is known of its memory."""


class TrialEnded(CpSearchError):
    """Ends one trial; `cause` is the word that is stored with the trial."""

    cause = "failed"


class OutOfMemory(TrialEnded):
    """The card cannot hold even the smallest micro-batch. `needed_bytes` is the live peak wanted."""

    cause = "oom"

    def __init__(self, message: str, *, needed_bytes: int, limit_bytes: int) -> None:
        self.needed_bytes = needed_bytes
        self.limit_bytes = limit_bytes
        super().__init__(message)


class NonFinite(TrialEnded):
    """The loss or the watched metric became NaN or infinite."""

    cause = "nonfinite"


class TimedOut(TrialEnded):
    """The trial passed its time limit."""

    cause = "timeout"


class WorkerLost(TrialEnded):
    """The trial's process died without leaving an outcome."""

    cause = "worker_lost"


class StudyEnded(CpSearchError):
    """Ends a study before its budget. Exit code 3."""


class StorageFault(StudyEnded):
    """The study's storage could not be read or written."""


class HostFull(StudyEnded):
    """The machine's memory was too short for a trial, for longer than was to be waited."""


class TooManyFailures(StudyEnded):
    """Too many trials failed in a row to believe the next would not."""
