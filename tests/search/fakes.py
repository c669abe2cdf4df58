"""Training that behaves like the trainer's, in no time: jobs with a script, and an audience of one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from search.engine import child
from search.engine.job import Job
from search.engine.local import LocalEngine
from search.space import Space, load_space
from search.study import StudyHandle, open_study
from search.verdict import Verdict
from search.worker import SearchEnd, Workplace, search
from trainer.errors import UserError
from trainer.files import write_text
from trainer.outcome import Metrics, Observer, Outcome, Report

SPACE = """
name: fake
base: fast_dev
set:
  model.name: builtin:tiny
search:
  training.learning_rate: {type: float, low: 1.0e-5, high: 1.0e-3, log: true}
  model.pooling: {type: categorical, choices: [cls, mean]}
budget: {trials: 4}
max_failures: 3
"""


def end_by_signal() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def end_everything() -> None:
    """As when the machine, or the container, goes down."""
    os.killpg(0, signal.SIGKILL)


def end_by_exception() -> None:
    raise ValueError("the encoder has a hole\nand more lines")


def end_by_user_error() -> None:
    raise UserError("no model here; download it first")


def evaluate_for_long(directory: str) -> None:
    """Nobody asks meanwhile whether to end; the file `waiting` is there. An orphan is given no time here."""
    child.ORPHAN_GRACE_S = 0.0
    (Path(directory) / "waiting").touch()
    time.sleep(600)


def sleep_on() -> None:
    time.sleep(600)


@dataclass(frozen=True)
class Scripted:
    """Reports `values` one by one, keeping count in a checkpoint, and then ends with `status`.

    Every evaluation made, over all attempts, is a line of `steps.log`. waits: hang after the values
    until interrupted, the first time; the file `waiting` is there then. says: a line, after the values.
    after: called at the end, in the child. terminate_after, kill_after: send itself SIGTERM or SIGKILL after
    that evaluation, the first time. waits_s: before it begins.
    """

    directory: str
    values: tuple[float, ...] = (0.5, 0.6)
    status: Any = "completed"
    after: Callable[[], None] | None = None
    waits: bool = False
    seconds: float = 0.5
    says: str | None = None
    terminate_after: int | None = None
    kill_after: int | None = None
    waits_s: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def checkpoint(self) -> Path:
        """Where the number of evaluations made is kept."""
        return Path(self.directory) / "checkpoints" / "last"

    def run(self, observer: Observer, report: Report) -> Outcome:
        """Go through the script, from the checkpoint if there is one."""
        time.sleep(self.waits_s)
        first = int(self.checkpoint.read_text()) if self.checkpoint.exists() else 0
        for step, value in list(enumerate(self.values, start=1))[first:]:
            if observer.interrupted():
                return self._end("interrupted", done=step - 1)
            with (Path(self.directory) / "steps.log").open("a") as log:
                log.write(f"{step}\n")
            stop = report(step, {"eval_f1_macro": value})
            self._save(step)
            if stop:
                return self._end("stopped", done=step)
            if first == 0 and step == self.terminate_after:
                os.kill(os.getpid(), signal.SIGTERM)
            if first == 0 and step == self.kill_after:
                os.kill(os.getpid(), signal.SIGKILL)
        if self.waits and first == 0:
            observer.say("waiting")
            (Path(self.directory) / "waiting").touch()
            while not observer.interrupted():
                time.sleep(0.01)
            return self._end("interrupted", done=len(self.values))
        if self.says is not None:
            observer.say(self.says)
        if self.after is not None:
            self.after()
        return self._end(self.status, done=len(self.values))

    def _save(self, step: int) -> None:
        self.checkpoint.parent.mkdir(exist_ok=True)
        write_text(self.checkpoint, str(step))

    def _end(self, status: Any, *, done: int) -> Outcome:
        best = max(range(done), key=lambda index: self.values[index], default=None)
        metrics = {"eval_f1_macro": self.values[best]} if best is not None else {}
        step = best + 1 if best is not None else None
        return Outcome(
            status, self.directory, best_metrics=metrics, best_step=step, seconds=self.seconds, **self.extra
        )


class Listener:
    """An audience that remembers; `on_say` is called with each line."""

    def __init__(self, on_say: Callable[[str], None] | None = None) -> None:
        self.lines: list[str] = []
        self.started: list[tuple[int, bool]] = []
        self.ended: dict[int, Verdict] = {}
        self._on_say = on_say

    def say(self, line: str) -> None:
        """Keep the line."""
        self.lines.append(line)
        if self._on_say is not None:
            self._on_say(line)

    def trial_started(self, number: int, *, values: dict[str, Any], resumed: bool) -> None:
        """Keep which, and whether it goes on from a checkpoint."""
        self.started.append((number, resumed))

    def progress(self, done: int, total: int, status: str, *, number: int | None = None) -> None:
        """Not of interest here."""

    def trial_paused(self, number: int) -> None:
        """Not of interest here."""

    def evaluated(self, number: int, *, step: int, metrics: Metrics) -> None:
        """Not of interest here."""

    def trial_ended(self, number: int, *, verdict: Verdict, best: FrozenTrial | None) -> None:
        """Keep the verdict."""
        self.ended[number] = verdict


class Bench:
    """A study in a directory of its own, whose trials follow a script."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.engine = LocalEngine(preload=("tests.search.fakes",))
        self.listener = Listener()

    @property
    def url(self) -> str:
        """The study's storage."""
        return f"sqlite:///{self.home / 'fake.db'}"

    @property
    def directory(self) -> Path:
        """Parent of the trials."""
        return self.home / "fake"

    def space(self, text: str = SPACE) -> Space:
        """The space `text` describes."""
        path = self.home / "fake.yaml"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
        return load_space(str(path))

    def open(self, text: str = SPACE) -> StudyHandle:
        """The study of that space."""
        return open_study(self.space(text), storage_url=self.url)

    def search(self, make: Callable[[str], Job], *, text: str = SPACE, **place: Any) -> SearchEnd:
        """Search with the jobs that `make(directory)` gives; `place`: other parts of the workplace."""
        parts = {"engine": self.engine, "make_job": lambda _config, directory, _seat: make(directory)}
        where = Workplace(self.directory, audience=self.listener, **{**parts, **place})
        return search(self.open(text), workplace=where)

    def trials(self) -> list[FrozenTrial]:
        """The study's trials as they are stored now."""
        return self.open().trials()

    def steps(self, number: int) -> list[int]:
        """The evaluations that trial made, over all its attempts."""
        log = self.directory / f"trial-{number:04d}" / "steps.log"
        return [int(line) for line in log.read_text().split()] if log.exists() else []
