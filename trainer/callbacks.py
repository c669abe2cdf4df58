"""User code that watches a run: a class with any of the hooks, named in the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from trainer.errors import ConfigError, Problem, TrialEnded

if TYPE_CHECKING:
    from trainer.loop import Loop


class Callback:
    """Base of user callbacks; override what you need, every hook takes **kwargs.

    `trainer` is the running loop: `trainer.config`, `trainer.model`, `trainer.progress`.
    """

    def on_train_begin(self, trainer: Loop, **kwargs: Any) -> None:
        """Before the first step (also after a resume)."""

    def on_epoch_begin(self, trainer: Loop, **kwargs: Any) -> None:
        """kwargs: epoch (from 0)."""

    def on_step_end(self, trainer: Loop, **kwargs: Any) -> None:
        """kwargs: step (from 1), loss."""

    def on_evaluate(self, trainer: Loop, **kwargs: Any) -> None:
        """kwargs: evaluation (from 1), metrics."""

    def on_epoch_end(self, trainer: Loop, **kwargs: Any) -> None:
        """kwargs: epoch (from 0)."""

    def on_train_end(self, trainer: Loop, **kwargs: Any) -> None:
        """kwargs: status."""


class CallbackFailed(TrialEnded):
    """A user callback raised; the message names it, the cause is chained."""


def load_callbacks(names: Sequence[str]) -> list[Callback]:
    """Import and construct the callbacks named `module:Class`.

    Raises:
        ConfigError: a name that cannot be imported, or is no `Callback`; all of them at once.
    """
    problems: list[Problem] = []
    loaded = [_load(name, problems) for name in names]
    if problems:
        raise ConfigError(problems)
    return [callback for callback in loaded if callback is not None]


def call(callbacks: Sequence[Callback], hook: str, trainer: Loop, **kwargs: Any) -> None:
    """Call `hook` on every callback.

    Raises:
        CallbackFailed: one raised; it is named, and its own exception is the cause.
    """
    for callback in callbacks:
        try:
            getattr(callback, hook)(trainer, **kwargs)
        except Exception as error:
            name = f"{type(callback).__module__}:{type(callback).__name__}.{hook}"
            raise CallbackFailed(f"the callback {name} raised {type(error).__name__}: {error}") from error


def _load(name: str, problems: list[Problem]) -> Callback | None:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        problems.append(Problem(None, f"callbacks.custom: {name} cannot be imported: {error}"))
        return None
    if not (isinstance(found, type) and issubclass(found, Callback)):
        problems.append(Problem(None, f"callbacks.custom: {name} is no subclass of trainer.Callback"))
        return None
    return found()
