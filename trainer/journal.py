"""`run.log`: everything a run says, with its time, beside what whoever watches it sees."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from trainer.outcome import Observer

#: fewer texts are tokenised before anyone could look, and are not worth a bar
_MANY_TEXTS = 20_000

#: lines at most that tokenising one file leaves where there is no bar
_LINES = 20

_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class Journal:
    """An observer that passes everything on and writes it down: lines as INFO, steps as DEBUG.

    Use it as a context: the file is open inside. A run that goes on adds to the file.
    """

    def __init__(self, path: Path, *, level: str, observer: Observer) -> None:
        self._observer = observer
        # Not from logging.getLogger: two runs in one process must not share a logger.
        self._logger = logging.Logger("cp-search run", level)
        self._handler = logging.FileHandler(path, encoding="utf-8", delay=True)
        self._handler.setFormatter(logging.Formatter(_FORMAT))
        self._logger.addHandler(self._handler)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._logger.error("%s: %s", type(error).__name__, error)
        self._handler.close()

    def say(self, line: str) -> None:
        """Write the line and pass it on."""
        self._logger.info(line)
        self._observer.say(line)

    def warn(self, line: str) -> None:
        """Write the line as a warning and pass it on."""
        self._logger.warning(line)
        self._observer.say(f"Warning: {line}")

    def fault(self, line: str) -> None:
        """Write down why the run ended; the outcome carries it to whoever watches."""
        self._logger.error(line)

    def progress(self, done: int, total: int, status: str) -> None:
        """Write the live line and pass the progress on."""
        self._logger.debug(status)
        self._observer.progress(done, total, status)

    def interrupted(self) -> bool:
        """As the observer says."""
        return self._observer.interrupted()


def tokenising(observer: Observer, name: str) -> Callable[[int, int], None]:
    """Progress through the texts of the file `name`, told to `observer` where there are many."""
    parts = 0

    def told(done: int, total: int) -> None:
        nonlocal parts
        reached = done * _LINES // total
        if total >= _MANY_TEXTS and reached > parts:
            parts = reached
            observer.progress(done, total, f"Tokenising {name}: {done} of {total} texts")

    return told
