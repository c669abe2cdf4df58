"""Checkpoints: a directory that appears whole, holding everything an exact continuation needs.

`checkpoints/last/` continues the run; `checkpoints/best-NNN/` are the `save_top_k` best
evaluations (weights only). Tensors are safetensors or loaded with `weights_only=True`.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import _disable_current_modes

from trainer.errors import UserError
from trainer.files import write_json
from trainer.offload import Offloaded
from trainer.optimizer import is_quantised

LAST = "last"
_WEIGHTS = "model.safetensors"
_STATE = "state.pt"
_PROGRESS = "progress.json"


@dataclass
class Progress:
    """Where a run stands, in plain numbers.

    step: optimizer steps done; evaluations: made so far; stale: evaluations since the best;
    kept: name of a checkpoint on disk -> value of the watched metric, best first; seconds: spent so
    far. *_tokens: token budgets of training and evaluation, after what memory allowed; lowered_tokens: of
    training, by class of lengths.
    """

    step: int = 0
    evaluations: int = 0
    best_step: int | None = None
    best_value: float | None = None
    best_metrics: dict[str, float] = field(default_factory=dict)
    best_scores: dict[str, Any] = field(default_factory=dict)
    stale: int = 0
    kept: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    loss_sum: float = 0.0
    loss_count: int = 0
    budget_tokens: int | None = None
    lowered_tokens: dict[str, int] = field(default_factory=dict)
    evaluation_tokens: int | None = None
    oom_events: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    peak_bytes: int | None = None
    identity: str = ""


def save_checkpoint(
    directory: Path, *, model: nn.Module, progress: Progress, state: dict[str, Any] | None
) -> None:
    """Write `directory` whole, replacing an older one; `state` None: weights only."""
    building = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, building / _WEIGHTS)
    if state is not None:
        torch.save(state, building / _STATE)
    write_json(building / _PROGRESS, progress.__dict__)
    _flush(building)
    _swap(building, directory)


def load_weights(directory: Path, *, model: nn.Module) -> None:
    """Put a checkpoint's weights into `model`; every tensor must be there and fit."""
    with _host_memory():
        weights = load_file(directory / _WEIGHTS)
        model.load_state_dict(weights)


def load_progress(directory: Path) -> Progress:
    """The numbers of a checkpoint.

    Raises:
        UserError: there is no readable checkpoint in `directory`.
    """
    try:
        return Progress(**json.loads((directory / _PROGRESS).read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError, TypeError) as error:
        raise UserError(f"{directory} is no checkpoint that can be resumed: {error}") from error


def require_state(directory: Path) -> None:
    """Check that `directory` holds more than weights.

    Raises:
        UserError: a run cannot go on from it.
    """
    if not (directory / _STATE).is_file():
        raise UserError(
            f"{directory} holds weights only and cannot be resumed; name the directory `{LAST}` beside it"
        )


def load_state(directory: Path) -> dict[str, Any]:
    """Optimizer, scheduler, scaler and random state of a checkpoint made by `save_checkpoint`."""
    with _host_memory():
        state: dict[str, Any] = torch.load(directory / _STATE, weights_only=True, map_location="cpu")
    return state


def load_optimizer(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Put a saved `state_dict` into `optimizer`, whose state is allocated already, without a second copy.

    The model's weights must be loaded before.
    """
    # The state of one is not on the card, that of the other is small.
    if isinstance(optimizer, Offloaded) or is_quantised(optimizer):
        optimizer.load_state_dict(saved)
        return
    for group, stored in zip(optimizer.param_groups, saved["param_groups"], strict=True):
        group.update({key: value for key, value in stored.items() if key != "params"})
        for parameter, index in zip(group["params"], stored["params"], strict=True):
            for key, value in optimizer.state[parameter].items():
                value.copy_(saved["state"][index][key])


def find_last(checkpoints: Path) -> Path | None:
    """The checkpoint to go on from, also when a crash fell between the two moves of `_swap`."""
    for name in (LAST, f".{LAST}.old"):
        if (checkpoints / name / _PROGRESS).is_file():
            return checkpoints / name
    return None


def sweep(checkpoints: Path) -> None:
    """Remove what a process that died was still building."""
    for left in checkpoints.glob(".*.tmp"):
        shutil.rmtree(left)


def drop_last(checkpoints: Path) -> None:
    """Remove the checkpoint for resuming, also one that a crash left aside."""
    for name in (LAST, f".{LAST}.old"):
        shutil.rmtree(checkpoints / name, ignore_errors=True)


def _host_memory() -> AbstractContextManager[Any]:
    """What is read from disk lies in host memory first: a virtual card must not count it.

    Beyond its limit it would, worse, fail inside safetensors, with an error that names no memory.
    """
    disabled: AbstractContextManager[Any] = _disable_current_modes()
    return disabled


def _flush(directory: Path) -> None:
    for path in directory.iterdir():
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())


def _swap(building: Path, directory: Path) -> None:
    """A directory cannot replace a full one at once: move the old aside, the new in, drop the old.

    One that an earlier crash left aside is dropped only while there is another: it may be the last.
    """
    old = directory.with_name(f".{directory.name}.old")
    if directory.exists():
        shutil.rmtree(old, ignore_errors=True)
        directory.replace(old)
    building.replace(directory)
    shutil.rmtree(old, ignore_errors=True)
