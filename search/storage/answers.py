"""How long a storage on the network may take to answer: one that is frozen takes every call and says nothing.

A process that was stopped, or the machine under it that hangs, keeps its connections: no driver notices. Each
driver therefore asks here, a few times a second while it waits, whether the wait is over. See
docs/decisions/0050-frozen-storages.md.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from search.interruption import Stop
from trainer import UserError

#: seconds after which a storage that has not answered counts as away, where these are to be others
LIMIT_VARIABLE = "CP_SEARCH_STORAGE_TIMEOUT"
#: from one time to the next that a driver asks whether its wait is over
LOOK_S = 0.1

Given = TypeVar("Given")


class Unanswered(Exception):
    """A storage took a call and has not answered in time."""


@dataclass
class Answers:
    """The patience with the answers of one storage.

    limit_s: for an answer; then the storage counts as away. hurried_s: the same once `stop` is asked.
    """

    limit_s: float = 60.0
    hurried_s: float = 2.0
    stop: Stop = field(default_factory=Stop)
    clock: Callable[[], float] = time.monotonic

    def expect(self) -> Awaited:
        """An answer is waited for from now on."""
        return Awaited(self)


class Awaited:
    """One answer that is waited for."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._since = answers.clock()
        self._hurried_since: float | None = None

    def require_time(self) -> None:
        """Raises Unanswered: there is no time left for the answer."""
        answers, now = self._answers, self._answers.clock()
        if answers.stop.asked and self._hurried_since is None:
            self._hurried_since = now
        for since, limit_s in ((self._hurried_since, answers.hurried_s), (self._since, answers.limit_s)):
            if since is not None and now - since >= limit_s:
                raise Unanswered(f"no answer within {limit_s:g} s")


def watched(
    steps: Generator[Any, Any, Given], *, none_ready: Callable[[], None]
) -> Generator[Any, Any, Given]:
    """`steps` of a driver that waits between them; `none_ready` is called where it waited in vain."""
    try:
        wanted = next(steps)
        while True:
            ready = yield wanted
            if not ready:
                none_ready()
            wanted = steps.send(ready)
    except StopIteration as end:
        given: Given = end.value
        return given


def limit_s() -> float:
    """Seconds for an answer: those of the environment, or the usual ones. Raises UserError: not a number."""
    given = os.environ.get(LIMIT_VARIABLE)
    if not given:
        return Answers.limit_s
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UserError(f"{LIMIT_VARIABLE}={given}: not a number of seconds; write 60, say")
    return seconds
