"""Ctrl-C: the first asks, the second insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Protocol


class Asked(Protocol):
    """Whether the work is to end."""

    @property
    def asked(self) -> bool:
        """True from some moment on."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after everything was put away; `go_on` says how to go on, unless that was said already."""

    def __init__(self, go_on: str = "") -> None:
        self.go_on = go_on
        super().__init__(go_on)


class Stop:
    """Whether the user asked to end; to be asked from a signal's handler too, while the same thread waits.

    No `threading.Event`: its `set` needs a lock that the `wait` under the handler may hold.
    """

    def __init__(self) -> None:
        self._asked = False
        self._bell: SimpleQueue[None] = SimpleQueue()

    @property
    def asked(self) -> bool:
        """Has the user asked?"""
        return self._asked

    def ask(self) -> None:
        """Ask."""
        self._asked = True
        self._bell.put(None)

    def wait(self, timeout_s: float) -> None:
        """Until the user asks, or the time is over."""
        with suppress(Empty):
            # Put back: others may wait as well, or again.
            self._bell.put(self._bell.get(timeout=timeout_s))


@contextmanager
def interruption(say: Callable[[str], None]) -> Iterator[Stop]:
    """A `Stop` that SIGINT and SIGTERM set; the second one raises KeyboardInterrupt."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        # Signals reach the main thread only; another thread is stopped through its Stop.
        yield stop
        return

    def asked(_signal: int, _frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.ask()
        say("Stopping: what is running writes its checkpoint. Once more to stop at once.")

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as Ctrl-C does, wherever no `interruption` asks first.

    Without it a process dies in silence, and the first process of a container does not hear it at all.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
