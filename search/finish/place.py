"""Where a finish happens and how its jobs are run; what a finish can end by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter

from search.engine.base import Call, Engine, run_calls
from search.engine.job import Job
from search.engine.local import await_orphan, read_result
from search.finish.record import read_record, write_record
from search.history import History
from search.seats import Seat
from search.workplace import MakeJob, train_job
from trainer import CpSearchError, Observer, UserError

if TYPE_CHECKING:
    from trainer import CardSpec, Config

Kept = TypeVar("Kept")

#: held by the worker that finishes the study
FINISH_LOCK = ".finish.lock"
#: within a job's directory: what the job there is of
_ASKED = "asked.json"


class Stopped(CpSearchError):
    """The user asked to end; the same command goes on where the finish was."""


class PartFailed(CpSearchError):
    """A part of the finish ended without its record; the message says which and why."""


@dataclass(frozen=True)
class FinishPlace:
    """`studies/NAME`, the engine, who watches, the card.

    at_once, threads: how many trainings may run side by side, and the CPU threads of each when they do (None:
    torch decides). make_job: what a child runs to train a configuration in a directory on a seat.
    retries: how often a job whose process died is taken up again.
    """

    study: Path
    engine: Engine
    observer: Observer
    card: CardSpec | None = None
    at_once: int = 1
    threads: int | None = None
    make_job: MakeJob = train_job
    retries: int = 3

    def see_through(self, calls: Sequence[Call]) -> list[dict[str, Any] | None]:
        """Run jobs as `run_calls` does; one whose process died goes on from what it left."""
        results = run_calls(self.engine, calls, at_once=self.at_once)
        for retry in range(1, self.retries + 1):
            lost = [index for index, result in enumerate(results) if _is_lost(result)]
            if not lost or self.observer.interrupted():
                break
            for index in lost:
                cause = str((results[index] or {}).get("error"))
                left = History(Path(calls[index].job.directory))
                calls[index].observer.say(left.going_on(cause, deaths=retry, retries=self.retries))
            again = run_calls(self.engine, [calls[index] for index in lost], at_once=self.at_once)
            for index, result in zip(lost, again, strict=True):
                results[index] = result
        return results

    def train_jobs(self, runs: Sequence[tuple[Config, Path]]) -> list[Job]:
        """The jobs of trainings that are to run side by side as far as there is room."""
        seat = Seat(self.card, self.threads if len(runs) > 1 else None)
        return [self.make_job(config, str(directory), seat) for config, directory in runs]

    def require_going_on(self) -> None:
        """Raises Stopped when the user has asked to end."""
        if self.observer.interrupted():
            raise Stopped("interrupted")


def _is_lost(result: dict[str, Any] | None) -> bool:
    return result is not None and result.get("error_kind") == "lost"


@dataclass(frozen=True)
class Part:
    """One part of a finish: where its record lies and what that depends on.

    making: said when it is begun.
    """

    path: Path
    key: str
    making: str

    @property
    def directory(self) -> Path:
        """Where its job works."""
        return self.path.parent / "parts" / self.path.stem

    def require(self, made: Path) -> None:
        """Where `made`, which the job leaves beside the record, is gone, the part is to be done anew."""
        if self.directory.is_dir():
            await_orphan(self.directory)
        if not made.exists():
            self.path.unlink(missing_ok=True)
            (self.directory / _ASKED).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Asked:
    """What the job in a part's directory was asked for; its key stands beside."""

    part: str


def made(part: Part, kind: type[Kept], job: Callable[[str], Job], *, place: FinishPlace) -> Kept:
    """The part's record: what lies there if it was made of the same, else what `job(directory)` gives.

    Raises:
        Stopped: the user asked to end. UserError, PartFailed: the job did.
    """
    found = read_record(part.path, kind, key=part.key)
    if found is not None:
        return found
    result = _left_by(part)
    if result is None:
        place.require_going_on()
        place.observer.say(part.making)
        part.directory.mkdir(parents=True, exist_ok=True)
        write_record(part.directory / _ASKED, _Asked(part.path.stem), key=part.key)
        (result,) = place.see_through([Call(job(str(part.directory)), place.observer)])
    if result is None or (_is_lost(result) and place.observer.interrupted()):
        raise Stopped("interrupted")
    if "error_kind" in result:  # an Outcome: the job did not come to its end
        raise _failure(part, result)
    record = TypeAdapter(kind).validate_python(result)
    write_record(part.path, record, key=part.key)
    return record


def _left_by(part: Part) -> dict[str, Any] | None:
    """What a job for the same part came to whose worker died before it could write that down."""
    if read_record(part.directory / _ASKED, _Asked, key=part.key) is None:
        return None
    await_orphan(part.directory)
    found = read_result(part.directory)
    return None if found is None or "error_kind" in found else found


def _failure(part: Part, result: dict[str, Any]) -> CpSearchError:
    error = str(result.get("error"))
    if result["error_kind"] == "user":
        return UserError(error)
    where = f"; its trace is in {part.directory / 'error.txt'}" if result["error_kind"] == "crash" else ""
    return PartFailed(f"{part.path.stem}: {error}{where}; the same command does only what is missing")
