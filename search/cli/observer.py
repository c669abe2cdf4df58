"""Who watches a run that happens in this process: the terminal."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: between two plain live lines, in optimizer steps: a log, not a flood
PLAIN_EVERY = 50


class TerminalObserver:
    """Shows a run on `console`: a coloured bar on a terminal, plain lines elsewhere.

    The first Ctrl-C asks the run to save itself and end; the second ends it at once.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stop = False
        self._shown = 0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)

    def say(self, line: str) -> None:
        """One line, above the bar if there is one."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def progress(self, done: int, total: int, status: str) -> None:
        """Move the bar; where there is none, print the live line now and then."""
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, total=total, description=status)
        elif done == total or done - self._shown >= PLAIN_EVERY:
            self._shown = done
            self.say(status)

    def interrupted(self) -> bool:
        """True after the first Ctrl-C or a SIGTERM."""
        return self._stop

    def interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        """Signal handler: ask the run to end, or on the second call end it now."""
        if self._stop:
            raise KeyboardInterrupt
        self._stop = True
        self.say("Saving, then ending; Ctrl-C again ends at once.")

    def __enter__(self) -> TerminalObserver:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


@contextmanager
def watch() -> Iterator[TerminalObserver]:
    """A `TerminalObserver` on stderr that receives Ctrl-C and SIGTERM while the block runs."""
    with TerminalObserver(Console(stderr=True)) as observer:
        before: dict[int, Any] = {
            number: signal.signal(number, observer.interrupt) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield observer
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
