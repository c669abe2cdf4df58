"""What an engine is: it starts jobs, each in a process of its own, and lets the worker speak with them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from search.engine.job import Answered, FromChild, FromParent, Interrupted, Job, Progressed, Reported, Said
from trainer import Observer, Report

#: how long a look at the jobs may take before asking whether the user wants to stop
LOOK_S = 0.2


class Running(Protocol):
    """A job that was started. As a context: an `Exception` makes it checkpoint and end, Ctrl-C ends it."""

    def __enter__(self) -> Running: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def pid(self) -> int | None:
        """Its process id, if it is one of this machine."""

    @property
    def begun(self) -> bool:
        """True from when its process is there on, False while the engine lets it wait for a place."""

    @property
    def ended(self) -> bool:
        """True when its process is gone and all it said was received."""

    def receive(self) -> list[FromChild]:
        """What it said since the last time; never waits."""

    def answer(self, *, stop: bool) -> None:
        """Answer a `Reported`: stop, or go on."""

    def interrupt(self) -> None:
        """Ask it, once, to checkpoint and end."""

    def hang_up(self) -> None:
        """Listen no more: it checkpoints and ends by itself; leaving the context waits for that."""

    def kill(self) -> None:
        """End it at once; its last checkpoint is all that stays."""

    def result(self) -> dict[str, Any]:
        """What it left in `outcome.json`; without one, an Outcome that says how it died."""


class Addressed(ABC):
    """The part of `Running` that all jobs share which are spoken to by messages."""

    _interrupted = False

    @property
    def begun(self) -> bool:
        """True from when its process is there on, False while the engine lets it wait for a place."""
        return True

    def answer(self, *, stop: bool) -> None:
        """Answer a `Reported`: stop, or go on."""
        self._send(Answered(stop))

    def interrupt(self) -> None:
        """Ask it, once, to checkpoint and end."""
        if not self._interrupted:
            self._interrupted = True
            self._send(Interrupted())

    @abstractmethod
    def _send(self, message: FromParent) -> None:
        """Never fails: a job that is gone says so by having ended."""


class Runner(Protocol):
    """Where one job at a time runs."""

    def run(self, job: Job, *, observer: Observer, report: Report) -> dict[str, Any]:
        """Run `job` to its end; its result as `outcome.json` has it."""


class Engine(Runner, Protocol):
    """Where jobs run, any number of them side by side."""

    @property
    def on_one_machine(self) -> bool:
        """Do all its jobs run on this machine? What one does to it is done to the others."""

    def start(self, job: Job) -> Running:
        """Start `job`; whatever outcome an earlier attempt left in its directory is removed first."""

    def wait(self, running: Sequence[Running], *, timeout_s: float) -> None:
        """Until one of them (all of this engine) has something to say or has ended, or the time is over."""


class Conversation:
    """A running job and those who watch it."""

    def __init__(self, running: Running, *, observer: Observer, report: Report) -> None:
        self.running = running
        self._observer = observer
        self._report = report

    def pump(self) -> int:
        """Pass on what was said since the last time, and the wish to stop; how much was said."""
        messages = self.running.receive()
        for message in messages:
            self._pass_on(message)
        if self._observer.interrupted():
            self.running.interrupt()
        return len(messages)

    def _pass_on(self, message: FromChild) -> None:
        if isinstance(message, Said):
            self._observer.say(message.line)
        elif isinstance(message, Progressed):
            self._observer.progress(message.done, message.total, message.status)
        elif isinstance(message, Reported):
            self.running.answer(stop=self._report(message.step, message.metrics))


@dataclass(frozen=True)
class Call:
    """A job to be run, and those who watch it.

    started: told its process id, if it is one of this machine. alive: called while it runs, as
    often as it is looked at.
    """

    job: Job
    observer: Observer
    report: Report = lambda step, metrics: False
    started: Callable[[int | None], None] = lambda pid: None
    alive: Callable[[], None] = lambda: None


def run_call(engine: Engine, call: Call) -> dict[str, Any]:
    """Run one job to its end: `Engine.run` of every engine.

    `observer.interrupted()` is asked several times a second: True makes the job checkpoint and end. An
    exception here (a second Ctrl-C, say) ends the job.
    """
    with engine.start(call.job) as running:
        talk = Conversation(running, observer=call.observer, report=call.report)
        while not running.ended:
            engine.wait([running], timeout_s=LOOK_S)
            talk.pump()
        return running.result()


def run_calls(engine: Engine, calls: Sequence[Call], *, at_once: int) -> list[dict[str, Any] | None]:
    """Run several jobs, at most `at_once` side by side; their results in the order of `calls`.

    None: not started, because somebody asked to stop before its turn came.
    """
    results: list[dict[str, Any] | None] = [None] * len(calls)
    waiting = list(range(len(calls)))
    talks: dict[int, Conversation] = {}
    try:
        while True:
            stopped = any(call.observer.interrupted() for call in calls)
            while waiting and not stopped and len(talks) < at_once:
                index = waiting.pop(0)
                running = engine.start(calls[index].job)
                talks[index] = Conversation(
                    running, observer=calls[index].observer, report=calls[index].report
                )
                calls[index].started(running.pid)
            if not talks:
                return results
            engine.wait([talk.running for talk in talks.values()], timeout_s=LOOK_S)
            for index, talk in list(talks.items()):
                talk.pump()
                calls[index].alive()
                if talk.running.ended:
                    results[index] = _close(talks.pop(index).running)
    except BaseException as error:
        let_go([talk.running for talk in talks.values()], error)
        raise


def let_go(running: Sequence[Running], error: BaseException) -> None:
    """Leave the contexts of several jobs because of `error`; they write their checkpoints side by side."""
    if isinstance(error, Exception):
        for one in running:
            one.hang_up()
    for one in running:
        one.__exit__(type(error), error, error.__traceback__)


def _close(running: Running) -> dict[str, Any]:
    with running:
        return running.result()
