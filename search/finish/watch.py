"""Who watches the jobs of a finish."""

from __future__ import annotations

from collections.abc import Mapping

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
        self.say(evaluation_line(step, metrics))
        return False


def evaluation_line(step: int, metrics: Mapping[str, float]) -> str:
    """`evaluation 2 | eval_f1_macro 0.7156 | eval_loss 0.5714`."""
    shown = (f"{name} {metrics[name]:.4f}" for name in ("eval_f1_macro", "eval_loss") if name in metrics)
    return f"evaluation {step} | {' | '.join(shown)}"
