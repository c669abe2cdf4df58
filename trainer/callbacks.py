"""User code that watches a run: a class with any of the hooks, named in the configuration."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trainer.config.yaml import closest
from trainer.errors import ConfigError, Problem, TrialEnded

if TYPE_CHECKING:
    from trainer.checkpoint import Progress
    from trainer.config.schema import Config
    from trainer.model.classifier import Classifier


class Running(Protocol):
    """The loop of a run, as its callbacks may use it."""

    config: Config
    progress: Progress

    @property
    def model(self) -> Classifier:
        """What is trained."""


class Callback:
    """The hooks there are. A user callback defines some of them; it need not derive from this class.

    Every hook takes **kwargs.
    """

    def on_train_begin(self, trainer: Running, **kwargs: Any) -> None:
        """Before the first step (also after a resume)."""

    def on_epoch_begin(self, trainer: Running, **kwargs: Any) -> None:
        """kwargs: epoch (from 0)."""

    def on_step_end(self, trainer: Running, **kwargs: Any) -> None:
        """kwargs: step (from 1), loss."""

    def on_evaluate(self, trainer: Running, **kwargs: Any) -> None:
        """kwargs: evaluation (from 1), metrics."""

    def on_epoch_end(self, trainer: Running, **kwargs: Any) -> None:
        """kwargs: epoch (from 0)."""

    def on_train_end(self, trainer: Running, **kwargs: Any) -> None:
        """kwargs: status."""


class CallbackFailed(TrialEnded):
    """A user callback raised; the message names it, the cause is chained."""


def load_callbacks(names: Sequence[str]) -> list[object]:
    """Import and construct the callbacks named `module:Class`; modules of the working directory too.

    Raises:
        ConfigError: names that cannot be imported or have no hook to call; all of them at once.
    """
    problems: list[Problem] = []
    with _working_directory_importable():
        loaded = [_load(name, problems) for name in names]
    if problems:
        raise ConfigError(problems)
    return loaded


def call(callbacks: Sequence[object], hook: str, trainer: Running, **kwargs: Any) -> None:
    """Call `hook` on every callback that has it, in order.

    Raises:
        CallbackFailed: one raised; it is named, and its own exception is the cause.
    """
    for callback in callbacks:
        function = getattr(callback, hook, None)
        if function is None:
            continue
        try:
            function(trainer, **kwargs)
        except Exception as error:
            name = f"{type(callback).__module__}:{type(callback).__name__}.{hook}"
            raise CallbackFailed(f"the callback {name} raised {type(error).__name__}: {error}") from error


def hook_names() -> list[str]:
    """Every hook there is, in the order of a run."""
    return [name for name in vars(Callback) if name.startswith("on_")]


def _load(name: str, problems: list[Problem]) -> object:
    module, _, attribute = name.partition(":")
    try:
        made = getattr(import_module(module), attribute)()
    except (ImportError, AttributeError, SyntaxError, TypeError, ValueError) as error:
        message = f"{name} cannot be imported and constructed: {error}; write module:Class"
        problems.append(Problem(None, f"callbacks.custom: {message}"))
        return None
    problems += [Problem(None, f"callbacks.custom: {name} {message}") for message in _misnamed(made)]
    return made


def _misnamed(callback: object) -> list[str]:
    """A hook that no one would ever call, or none at all."""
    known = hook_names()
    hooks = [name for name in dir(callback) if name.startswith("on_")]
    unknown = [name for name in hooks if name not in known]
    if not hooks:
        return [f"has no hook; hooks are {', '.join(known)}"]
    return [f"has {name}, which is no hook; {_hook_hint(name, known)}" for name in unknown]


def _hook_hint(name: str, known: Sequence[str]) -> str:
    near = closest(name, known)
    return f"did you mean {near}?" if near else f"hooks are {', '.join(known)}"


@contextmanager
def _working_directory_importable() -> Iterator[None]:
    """`python -m` finds modules beside the user's configuration by itself; an installed command does not."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
