"""Jobs in threads of this process: no isolation, no start-up; to try and measure what is around them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from search.engine.base import Call, Running, run_call
from search.engine.child import OUTCOME, finite, one_line
from search.engine.job import FromChild, Job, Progressed, Reported, Said
from trainer import Observer, Outcome, Report, UserError, write_json


class InlineEngine:
    """Runs each job in a thread. What a job raises ends as it would in a child; a crash of it is ours."""

    on_one_machine = True

    def __init__(self) -> None:
        self._heard = threading.Condition()

    def start(self, job: Job) -> InlineRunning:
        """Start `job` in a thread of its own."""
        directory = Path(job.directory)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / OUTCOME).unlink(missing_ok=True)
        return InlineRunning(job, heard=self._heard)

    def wait(self, running: Sequence[Running], *, timeout_s: float) -> None:
        """Until one of these jobs has something to say or has ended, or the time is over."""
        ours = [one for one in running if isinstance(one, InlineRunning)]
        with self._heard:
            self._heard.wait_for(lambda: any(one.wants_attention for one in ours), timeout_s)

    def run(self, job: Job, *, observer: Observer, report: Report) -> dict[str, Any]:
        """Run `job` to its end."""
        return run_call(self, Call(job, observer, report))


class InlineRunning:
    """A job in a thread; itself the job's observer."""

    pid: int | None = None

    def __init__(self, job: Job, *, heard: threading.Condition) -> None:
        self._job = job
        self._heard = heard
        self._said: queue.SimpleQueue[FromChild] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._result: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def __enter__(self) -> InlineRunning:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.hang_up()
        self._thread.join()

    @property
    def begun(self) -> bool:
        """Always: it waits for nothing."""
        return True

    @property
    def ended(self) -> bool:
        """True when the thread is through and all it said was received."""
        return bool(self._result) and self._said.empty()

    @property
    def wants_attention(self) -> bool:
        """Has it said something, or ended?"""
        return bool(self._result) or not self._said.empty()

    def receive(self) -> list[FromChild]:
        """What it said since the last time; never waits."""
        return [self._said.get() for _ in range(self._said.qsize())]

    def answer(self, *, stop: bool) -> None:
        """Answer a `Reported`."""
        self._answers.put(stop)

    def interrupt(self) -> None:
        """Ask it to checkpoint and end."""
        self._stop.set()

    def hang_up(self) -> None:
        """Ask it to end, and keep it from waiting for an answer."""
        self._stop.set()
        self._answers.put(False)

    def kill(self) -> None:
        """A thread cannot be killed: it is asked to end."""
        self.hang_up()

    def result(self) -> dict[str, Any]:
        """What `outcome.json` holds."""
        self._thread.join()
        return self._result

    def say(self, line: str) -> None:
        """From the job: one line for a person."""
        self._tell(Said(line))

    def progress(self, done: int, total: int, status: str) -> None:
        """From the job: how far it is."""
        self._tell(Progressed(done, total, status))

    def interrupted(self) -> bool:
        """From the job: should it end?"""
        return self._stop.is_set()

    def _report(self, step: int, metrics: Mapping[str, float]) -> bool:
        self._tell(Reported(step, dict(metrics)))
        return self._answers.get()

    def _tell(self, message: FromChild) -> None:
        self._said.put(message)
        with self._heard:
            self._heard.notify_all()

    def _work(self) -> None:
        directory = self._job.directory
        try:
            result = asdict(self._job.run(self, self._report))
        except UserError as error:
            result = asdict(Outcome("failed", directory, error=str(error), error_kind="user"))
        except Exception as error:  # noqa: BLE001  # the boundary of the thread, as of a child process
            result = asdict(Outcome("failed", directory, error=one_line(error), error_kind="crash"))
        write_json(Path(directory) / OUTCOME, finite(result))
        self._result = result
        with self._heard:
            self._heard.notify_all()
