"""Who watches a run that happens in this process: the terminal, and Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from search.console import ConsoleAudience
    from search.interruption import Stop

#: optimizer steps between two plain live lines: a log, not a flood
PLAIN_EVERY = 50


class TerminalObserver:
    """Passes a run on to an audience; `plain`: there is no bar, so the live line is printed now and then."""

    def __init__(self, audience: ConsoleAudience, stop: Stop, *, plain: bool) -> None:
        self._audience = audience
        self._stop = stop
        self._plain = plain
        self._next = PLAIN_EVERY
        self._total = 0

    def say(self, line: str) -> None:
        """One line, above the bar if there is one."""
        self._audience.say(line)

    def progress(self, done: int, total: int, status: str) -> None:
        """Move the bar, or print the live line every `PLAIN_EVERY` steps and at the last one."""
        if total != self._total:  # another count begins: texts tokenised, then steps
            self._next, self._total = PLAIN_EVERY, total
        if not self._plain:
            self._audience.progress(done, total, status)
        elif done >= self._next or done == total:
            self._next = done + PLAIN_EVERY
            self._audience.say(status)

    def interrupted(self) -> bool:
        """True after the first Ctrl-C or SIGTERM; the second ends the run at once."""
        return self._stop.asked


@contextmanager
def watch(console: Console | None = None) -> Iterator[TerminalObserver]:
    """An observer on `console` (None: stderr) that Ctrl-C reaches while the block runs."""
    from rich.console import Console

    from search.console import open_audience
    from search.interruption import interruption

    shown = console or Console(stderr=True)
    with open_audience(shown) as audience, interruption(audience.say) as stop:
        yield TerminalObserver(audience, stop, plain=not shown.is_terminal)
