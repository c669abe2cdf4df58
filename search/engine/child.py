"""The child's side of the engine: runs a job, speaks over the pipe, leaves `outcome.json`."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from search.engine.job import Answered, Interrupted, Job, Progressed, Reported, Said
from search.lines import append_line
from trainer import Outcome, UserError, disk_errors, disk_fault, write_json, write_text

if TYPE_CHECKING:
    from search.engine.job import FromChild, FromParent
    from trainer import Observer, Report

OUTCOME = "outcome.json"
ERROR = "error.txt"
REPORTS = "reports.jsonl"
#: held by the child while it lives: an orphan still writing keeps its directory to itself
CHILD_LOCK = ".child.lock"
#: what an orphan gets to reach the end of its step and write its checkpoint
ORPHAN_GRACE_S = 60.0

#: exit code of an orphan that did not end in time
_ORPHANED = 70
#: exit code of one that could leave no outcome, for the disk is full or read-only (sysexits.h: EX_IOERR)
UNWRITABLE = 74


class Line:
    """The child's end of the pipe; an `Observer`, and through `report` the one who is asked.

    Used by one thread (the job's); `interrupt` may come from a signal or the parent's watcher, `end` from the
    watcher.
    """

    def __init__(self, connection: Connection, *, reports: Path | None = None) -> None:
        """`reports`: where evaluations are noted, for the worker after one that died before it heard."""
        self._connection = connection
        self._reports = reports
        self._interrupted = threading.Event()
        self._last_word = threading.Lock()
        self._at_work = False

    def say(self, line: str) -> None:
        """Send one line for a person."""
        self._send(Said(line))

    def progress(self, done: int, total: int, status: str) -> None:
        """Send the progress."""
        self._send(Progressed(done, total, status))

    def interrupt(self) -> None:
        """From now on `interrupted()` is True."""
        self._interrupted.set()

    def interrupted(self) -> bool:
        """True once the parent, a signal, or the parent's death asked the job to end."""
        while not self._interrupted.is_set() and self._waiting():
            self._receive()
        return self._interrupted.is_set()

    def report(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Send an evaluation and wait for the answer; False when the parent is gone."""
        self._note(step, metrics)
        self._send(Reported(step, dict(metrics)))
        while not self._orphaned:
            message = self._receive()
            if isinstance(message, Answered):
                return message.stop
        return False

    def _note(self, step: int, metrics: Mapping[str, float]) -> None:
        if self._reports is not None:
            append_line(self._reports, {"step": step, "metrics": finite(dict(metrics))})

    def begin(self) -> None:
        """The job has its directory to itself: from here on an outcome may be left there."""
        with self._last_word:
            self._at_work = True

    def end(self, leave: Callable[[], None]) -> None:
        """Call `leave` to write the outcome, unless somebody has: the job, or the watcher of an orphan."""
        with self._last_word:
            if self._at_work:
                self._at_work = False
                leave()

    _orphaned = False

    def _waiting(self) -> bool:
        try:
            return self._connection.poll()
        except OSError:
            self._lost()
            return False

    def _receive(self) -> FromParent | None:
        try:
            message: FromParent = self._connection.recv()
        except (EOFError, OSError):
            self._lost()
            return None
        if isinstance(message, Interrupted):
            self.interrupt()
        return message

    def _send(self, message: FromChild) -> None:
        try:
            self._connection.send(message)
        except OSError:
            self._lost()

    def _lost(self) -> None:
        self._orphaned = True
        self.interrupt()


def main(job: Job, connection: Connection) -> None:
    """Entry of the child process: whatever happens to `job`, `outcome.json` is the last act."""
    # Ctrl-C reaches the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.enable()  # if the forkserver could not end its imports, nobody has
    line = Line(connection, reports=Path(job.directory) / REPORTS)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: line.interrupt())
    threading.Thread(target=_watch_parent, args=(line, Path(job.directory)), daemon=True).start()
    try:
        work(job, line)
    except OSError as error:
        if disk_fault(error) is None:
            raise
        sys.exit(UNWRITABLE)


def work(job: Job, line: Line) -> None:
    """Run `job` while nobody else does, and leave its outcome.

    A process whose worker died before it had the lock leaves nothing: the next attempt may have been here.
    """
    directory = Path(job.directory)
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory / CHILD_LOCK):
        parent = multiprocessing.parent_process()
        if parent is None or parent.is_alive():
            line.begin()
            found = finite(outcome_of(job, line, line.report))
            line.end(lambda: write_json(directory / OUTCOME, found))


def outcome_of(job: Job, observer: Observer, report: Report) -> dict[str, Any]:
    """Run `job`; what it came to as a dict, whatever happens. A traceback is left in `error.txt`."""
    (Path(job.directory) / ERROR).unlink(missing_ok=True)
    try:
        with disk_errors(Path(job.directory)):
            return asdict(job.run(observer, report))
    except UserError as error:
        return asdict(Outcome("failed", job.directory, error=str(error), error_kind="user"))
    except Exception as error:  # noqa: BLE001  # the boundary of the process: the trace is kept, the parent told
        write_text(Path(job.directory) / ERROR, traceback.format_exc())
        return asdict(Outcome("failed", job.directory, error=one_line(error), error_kind="crash"))


def one_line(error: BaseException) -> str:
    """`ValueError: the first line of its message`."""
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0]}" if words else type(error).__name__


def finite(value: Any) -> Any:
    """`value` with every NaN and infinity as null: JSON has no other word for them."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def _watch_parent(line: Line, directory: Path) -> None:
    """An orphan checkpoints and ends; one that cannot within the grace is ended, and says that it lived."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    wait([parent.sentinel])
    line.interrupt()
    threading.Event().wait(ORPHAN_GRACE_S)
    late = asdict(Outcome("interrupted", str(directory)))
    try:
        # In an evaluation, say, nobody asks whether to end; that is no death of the trial.
        line.end(lambda: write_json(directory / OUTCOME, late))
    finally:
        os._exit(_ORPHANED)
