"""Where a finish happens and how its jobs are run; what a finish can end by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from search.engine.base import Engine
from search.engine.job import Job
from search.finish.record import read_record, write_record
from search.seats import Seat
from search.workplace import MakeJob, train_job
from trainer import CpSearchError, Observer, UserError

if TYPE_CHECKING:
    from trainer import CardSpec, Config

Kept = TypeVar("Kept")

#: held by the worker that finishes the study
FINISH_LOCK = ".finish.lock"
#: how often a worker that waits looks whether the user wants to stop
_LOOK_S = 0.5


class Stopped(CpSearchError):
    """The user asked to end; the same command goes on where the finish was."""


class PartFailed(CpSearchError):
    """A part of the finish ended without its record; the message says which and why."""


@dataclass(frozen=True)
class FinishPlace:
    """`studies/NAME`, the engine, who watches, the card.

    at_once, threads: how many trainings may run side by side, and the CPU threads of each when they do (None:
    torch decides). make_job: what a child runs to train a configuration in a directory on a seat.
    """

    study: Path
    engine: Engine
    observer: Observer
    card: CardSpec | None = None
    at_once: int = 1
    threads: int | None = None
    make_job: MakeJob = train_job

    def train_jobs(self, runs: Sequence[tuple[Config, Path]]) -> list[Job]:
        """The jobs of trainings that are to run side by side as far as there is room."""
        seat = Seat(self.card, self.threads if len(runs) > 1 else None)
        return [self.make_job(config, str(directory), seat) for config, directory in runs]

    def require_going_on(self) -> None:
        """Raises Stopped when the user has asked to end."""
        if self.observer.interrupted():
            raise Stopped("interrupted")


@contextmanager
def alone(place: FinishPlace) -> Iterator[None]:
    """One worker at a time: two that end a search together do not make the model twice at once.

    The second waits, and then finds every part done. Raises Stopped when the user asks to end meanwhile.
    """
    lock = FileLock(place.study / FINISH_LOCK, timeout=_LOOK_S)
    waiting = False
    while not lock.is_locked:
        try:
            lock.acquire()
        except Timeout:
            place.require_going_on()
            if not waiting:
                place.observer.say("Another worker finishes this study; waiting for it")
            waiting = True
    try:
        yield
    finally:
        lock.release()


def no_report(step: int, metrics: Any) -> bool:
    """A run that nobody prunes."""
    return False


@dataclass(frozen=True)
class Part:
    """One part of a finish: where its record lies and what that depends on.

    making: said when it is begun.
    """

    path: Path
    key: str
    making: str


def made(part: Part, kind: type[Kept], job: Callable[[str], Job], *, place: FinishPlace) -> Kept:
    """The part's record: what lies there if it was made of the same, else what `job(directory)` gives.

    Raises:
        Stopped: the user asked to end. UserError, PartFailed: the job did.
    """
    found = read_record(part.path, kind, key=part.key)
    if found is not None:
        return found
    place.require_going_on()
    place.observer.say(part.making)
    directory = part.path.parent / "parts" / part.path.stem
    result = place.engine.run(job(str(directory)), observer=place.observer, report=no_report)
    if "error_kind" in result:  # an Outcome: the job did not come to its end
        raise _failure(part, result, directory)
    record = TypeAdapter(kind).validate_python(result)
    write_record(part.path, record, key=part.key)
    return record


def _failure(part: Part, result: dict[str, Any], directory: Path) -> CpSearchError:
    error = str(result.get("error"))
    if result["error_kind"] == "user":
        return UserError(error)
    where = f"; its trace is in {directory / 'error.txt'}" if result["error_kind"] == "crash" else ""
    return PartFailed(f"{part.path.stem}: {error}{where}; the same command does only what is missing")
