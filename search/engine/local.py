"""Jobs in child processes of this machine.

On POSIX a child is forked from a *forkserver* that has already imported torch and transformers but
never touched CUDA: isolation without paying for the imports. Windows, and
CP_SEARCH_START_METHOD=spawn, start a fresh interpreter.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from search.engine.base import Addressed, Call, Running, run_call
from search.engine.child import CHILD_LOCK, ORPHAN_GRACE_S, OUTCOME, UNWRITABLE, main
from search.engine.job import FromChild, FromParent, Job
from trainer import Observer, Outcome, Report, UserError

START_METHOD = "CP_SEARCH_START_METHOD"
PRELOAD = ("search.engine.deaf", "search.engine.preload")

#: by number: Windows has no such signal, but the line is read there too
_SIGKILL = 9


class LocalEngine:
    """Runs jobs on this machine, each in its own process."""

    on_one_machine = True

    def __init__(self, *, preload: Sequence[str] = PRELOAD, start_method: str | None = None) -> None:
        """`preload`: modules the forkserver imports. `start_method`: None takes the environment's.

        Raises:
            UserError: no such start method here.
        """
        method = start_method or os.environ.get(START_METHOD) or _usual_method()
        if method not in ("spawn", "forkserver") or method not in multiprocessing.get_all_start_methods():
            raise UserError(f"{START_METHOD}={method}: use forkserver (not on Windows) or spawn")
        self._context: Any = multiprocessing.get_context(method)
        if method == "forkserver":
            self._context.set_forkserver_preload(list(preload))

    def start(self, job: Job) -> Child:
        """Start `job`; whatever outcome an earlier attempt left in its directory is removed first.

        Raises:
            UserError: a process of an earlier attempt still works in the directory.
        """
        directory = Path(job.directory)
        directory.mkdir(parents=True, exist_ok=True)
        await_orphan(directory)
        (directory / OUTCOME).unlink(missing_ok=True)
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=main, args=(job, theirs), daemon=False)
        process.start()
        theirs.close()
        return Child(process, connection=ours, directory=directory)

    def wait(self, running: Sequence[Running], *, timeout_s: float) -> None:
        """Until one of these children has something to say or has ended, or the time is over."""
        wait([child.waits_for for child in running if isinstance(child, Child)], timeout_s)

    def run(self, job: Job, *, observer: Observer, report: Report) -> dict[str, Any]:
        """Run `job` to its end, passing on what it says; its result as `outcome.json` has it."""
        return run_call(self, Call(job, observer, report))


class Child(Addressed):
    """A job that is running. As a context: if it still does on the way out, it is let go or killed."""

    def __init__(self, process: BaseProcess, *, connection: Connection, directory: Path) -> None:
        self._process = process
        self._connection = connection
        self._directory = directory
        self._silent = False

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """An error of ours costs the job no more than its way to the next checkpoint; Ctrl-C insists."""
        if kind is not None and issubclass(kind, Exception):
            self.hang_up()
            self._process.join(ORPHAN_GRACE_S)
        if self._process.is_alive():
            self.kill()
        self._process.join()
        self._connection.close()

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """True when the process is gone and all it said was received."""
        return self._silent and not self._process.is_alive()

    @property
    def waits_for(self) -> Connection | int:
        """What becomes ready when there is something to hear, or when it has ended."""
        return self._process.sentinel if self._silent else self._connection

    def receive(self) -> list[FromChild]:
        """What it said since the last time; never waits."""
        messages: list[FromChild] = []
        try:
            while not self._silent and self._connection.poll():
                messages.append(self._connection.recv())
        except (EOFError, OSError):
            # Its end is closed: the process has ended or is about to.
            self._silent = True
        return messages

    def hang_up(self) -> None:
        """Listen no more: it checkpoints and ends as an orphan does."""
        self._silent = True
        self._connection.close()

    def kill(self) -> None:
        """End it at once; its last checkpoint is all that stays."""
        self._process.kill()

    def result(self) -> dict[str, Any]:
        """What it left in `outcome.json`; without one, an Outcome that says how it died."""
        self._process.join()
        found = read_result(self._directory)
        if found is not None:
            return found
        code = self._process.exitcode
        if code == UNWRITABLE:
            cause = "the disk is full or read-only"
            full = f"cannot write {self._directory}: {cause}; the same command goes on after that"
            return asdict(Outcome("failed", str(self._directory), error=full, error_kind="user"))
        return asdict(Outcome("failed", str(self._directory), error=death(code), error_kind="lost"))

    def _send(self, message: FromParent) -> None:
        try:
            self._connection.send(message)
        except OSError:
            # It is gone; `result` will say how.
            self._silent = True


def read_result(directory: Path) -> dict[str, Any] | None:
    """`outcome.json` of `directory`; None when there is none or it is not whole."""
    try:
        found = json.loads((directory / OUTCOME).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def death(exit_code: int | None) -> str:
    """How a process that left no outcome ended, in words."""
    if exit_code is not None and exit_code < 0:
        try:
            name = f" ({signal.Signals(-exit_code).name})"
        except ValueError:
            name = ""
        if exit_code == -_SIGKILL:
            name = " (out of host memory?)"
        return f"killed by signal {-exit_code}{name}"
    return f"its process ended with code {exit_code} and left no outcome"


def _usual_method() -> str:
    return "spawn" if sys.platform == "win32" else "forkserver"


def await_orphan(directory: Path) -> None:
    """Wait until no process of an earlier attempt works in `directory` any more.

    Raises:
        UserError: one still does after the time an orphan is given.
    """
    try:
        with FileLock(directory / CHILD_LOCK, timeout=ORPHAN_GRACE_S + 10):
            return
    except Timeout as error:
        raise UserError(
            f"{directory} is still in use by a process of an earlier run; wait for it to end, or end it"
        ) from error
