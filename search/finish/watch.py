"""Who watches the jobs of a finish."""

from __future__ import annotations

from collections.abc import Mapping

from search.values import metrics_line
from trainer import Observer


class Named:
    """Passes on what a job says, with its name before it: several may speak at once."""

    def __init__(self, name: str, observer: Observer) -> None:
        self._name = name
        self._observer = observer

    def say(self, line: str) -> None:
        """One line, named."""
        self._observer.say(f"{self._name} | {line}")

    def progress(self, done: int, total: int, status: str) -> None:
        """The live line."""
        self._observer.progress(done, total, f"{self._name} | {status}")

    def interrupted(self) -> bool:
        """Whether the user asked to end."""
        return self._observer.interrupted()

    def report(self, step: int, metrics: Mapping[str, float]) -> bool:
        """One line for an evaluation; nobody prunes here."""
        self.say(metrics_line(step, metrics))
        return False
