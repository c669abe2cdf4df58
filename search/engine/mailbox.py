"""A job's end of a conversation that is polled: where there is no pipe, as between Ray's processes."""

from __future__ import annotations

import errno
import platform
import queue
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from search.engine.child import CHILD_LOCK, ERROR, outcome_of
from search.engine.job import Answered, Interrupted, Job, Progressed, Reported, Said
from trainer import Outcome

if TYPE_CHECKING:
    from search.engine.job import FromChild, FromParent

#: another's directory, or a file system that is mounted so
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
#: the disk, or what the user may have of it
_FULL = (errno.ENOSPC, errno.EDQUOT)


def unusable(directory: Path, error: OSError) -> str:
    """What is told of a directory that this node cannot make, or write."""
    node, said = platform.node(), error.strerror or str(error)
    if error.errno in _FORBIDDEN:
        return (
            f"the node {node} cannot use {directory}: {said}; let the user that Ray runs as write "
            "there, or take the node out of the cluster"
        )
    if error.errno in _FULL:
        return (
            f"the node {node} cannot use {directory}: {said}; make room there, and the same command goes on"
        )
    return f"the node {node} cannot use {directory}: {said}; the same command goes on after that"


class Mailbox:
    """Runs one job in one thread, while others poll what it says and tell it answers; an `Observer`."""

    def __init__(self) -> None:
        self._out: queue.Queue[FromChild | None] = queue.Queue()
        self._answers: queue.Queue[Answered | None] = queue.Queue()
        self._interrupted = threading.Event()

    def run(self, job: Job) -> tuple[dict[str, Any], str | None]:
        """Run `job` to its end: its result, and the traceback if it crashed.

        A directory that cannot be used here is the user's to mend: a result as well.
        """
        directory = Path(job.directory)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with FileLock(directory / CHILD_LOCK):
                found = outcome_of(job, self, self.report)
            trace = directory / ERROR
            return found, trace.read_text(encoding="utf-8") if trace.exists() else None
        except OSError as error:
            told = unusable(directory, error)
            return asdict(Outcome("failed", job.directory, error=told, error_kind="user")), None
        finally:
            self._out.put(None)

    def poll(self, timeout_s: float) -> list[FromChild] | None:
        """What was said since the last time, waiting for the first word; None once all is said."""
        try:
            message = self._out.get(timeout=timeout_s)
        except queue.Empty:
            return []
        found: list[FromChild] = []
        while message is not None:
            found.append(message)
            try:
                message = self._out.get_nowait()
            except queue.Empty:
                return found
        if found:
            # The end is for the next time.
            self._out.put(None)
            return found
        return None

    def tell(self, message: FromParent) -> None:
        """Answer, or ask to end."""
        if isinstance(message, Interrupted):
            self._interrupted.set()
        else:
            self._answers.put(message)

    def hang_up(self) -> None:
        """Nobody listens any more: checkpoint and end."""
        self._interrupted.set()
        self._answers.put(None)

    def say(self, line: str) -> None:
        """One line for a person."""
        self._out.put(Said(line))

    def progress(self, done: int, total: int, status: str) -> None:
        """How far it is."""
        self._out.put(Progressed(done, total, status))

    def interrupted(self) -> bool:
        """Was it asked to end?"""
        return self._interrupted.is_set()

    def report(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Say an evaluation and wait for the answer; False when nobody listens."""
        self._out.put(Reported(step, dict(metrics)))
        answer = self._answers.get()
        return answer.stop if answer is not None else False
