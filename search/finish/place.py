"""Where a finish happens and how its jobs are run; what a finish can end by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter

from search.engine.base import Call, Engine, run_calls
from search.engine.child import OUTCOME
from search.engine.job import Job
from search.engine.local import await_orphan, read_result
from search.finish.lives import Life, is_lost
from search.finish.record import read_record, write_record
from search.history import ATTEMPTS
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
#: what else may help a part that died too often
_LESS_MEMORY = "a smaller training.batch_size in finish.set needs less memory"


class Stopped(CpSearchError):
    """The user asked to end; the same command goes on where the finish was."""


class PartFailed(CpSearchError):
    """A part of the finish ended without its record; the message says which and why."""


class GivenUp(PartFailed):
    """A part died too often to be begun again; died: which, of what, how often. directory: where it works."""

    def __init__(self, died: str, *, directory: Path, study: Path, instead: str = _LESS_MEMORY) -> None:
        super().__init__(
            f"{died}. It is not begun again by itself: cp-search retrain {study.name} tries it once more; "
            f"{instead}"
        )
        self.died = died
        self.directory = directory


@dataclass(frozen=True)
class FinishPlace:
    """`studies/NAME`, the engine, who watches, the card.

    at_once, threads: how many trainings may run side by side, and the CPU threads of each when they do (None:
    torch decides). make_job: what a child runs to train a configuration in a directory on a seat.
    retries: how often a job whose process died is begun again. once_more: a job that died more often than
    that is begun one more time, since somebody asked for it by name.
    """

    study: Path
    engine: Engine
    observer: Observer
    card: CardSpec | None = None
    at_once: int = 1
    threads: int | None = None
    make_job: MakeJob = train_job
    retries: int = 3
    once_more: bool = False

    def see_through(self, calls: Sequence[Call], *, say: str) -> list[dict[str, Any] | None]:
        """Run jobs as `run_calls` does; one whose process died goes on from what it left.

        say: what is said before the first is begun, if any is.

        One that died more often than `retries`, in this command or with earlier ones, is not begun any more.
        Once one has died they are run one by one: what one does to the machine is not laid to another.
        """
        lives = [Life(call, retries=self.retries, once_more=self.once_more) for call in calls]
        died = [life for life in lives if life.settle()]
        results = [life.given_up() if life.is_over else None for life in lives]
        left = [index for index, result in enumerate(results) if result is None]
        if left:
            self.observer.say(say)
        for life in died:
            life.say_going_on()
        while left and not self.observer.interrupted():
            for index, result in zip(left, self._run([lives[index] for index in left]), strict=True):
                results[index] = lives[index].end(result)
            left = [index for index in left if is_lost(results[index]) and not lives[index].is_over]
        return results

    def _run(self, lives: Sequence[Life]) -> list[dict[str, Any] | None]:
        at_once = 1 if any(life.deaths for life in lives) else self.at_once
        try:
            return run_calls(self.engine, [life.to_begin() for life in lives], at_once=at_once)
        except BaseException:
            for life in lives:
                life.leave()
            raise

    def train_jobs(self, runs: Sequence[tuple[Config, Path]]) -> list[Job]:
        """The jobs of trainings that are to run side by side as far as there is room."""
        seat = Seat(self.card, self.threads if len(runs) > 1 else None)
        return [self.make_job(config, str(directory), seat) for config, directory in runs]

    def require_going_on(self) -> None:
        """Raises Stopped when the user has asked to end."""
        if self.observer.interrupted():
            raise Stopped("interrupted")


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
            (self.directory / OUTCOME).unlink(missing_ok=True)


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
        part.directory.mkdir(parents=True, exist_ok=True)
        if read_record(part.directory / _ASKED, _Asked, key=part.key) is None:
            (part.directory / ATTEMPTS).unlink(missing_ok=True)  # of a job for something else
        write_record(part.directory / _ASKED, _Asked(part.path.stem), key=part.key)
        (result,) = place.see_through([Call(job(str(part.directory)), place.observer)], say=part.making)
    if result is None or (is_lost(result) and place.observer.interrupted()):
        raise Stopped("interrupted")
    if "error_kind" in result:  # an Outcome: the job did not come to its end
        raise _failure(part, result, study=place.study)
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


def _failure(part: Part, result: dict[str, Any], *, study: Path) -> CpSearchError:
    error = str(result.get("error"))
    if result["error_kind"] == "user":
        return UserError(error)
    if is_lost(result):
        return GivenUp(f"the part {part.path.stem}: {error}", directory=part.directory, study=study)
    where = f"; its trace is in {part.directory / 'error.txt'}" if result["error_kind"] == "crash" else ""
    return PartFailed(f"{part.path.stem}: {error}{where}; the same command does only what is missing")
