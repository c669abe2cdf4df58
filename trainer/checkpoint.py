"""Checkpoints: a directory that appears whole, holding everything an exact continuation needs.

`checkpoints/last/` continues the run, `checkpoints/previous/` where that is damaged; `checkpoints/best-NNN/`
are the `save_top_k` best evaluations (weights only). Every one is sealed with its checksums. Tensors are
safetensors or loaded with `weights_only=True`.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer

from trainer.errors import UserError
from trainer.files import flush, write_json
from trainer.memory.host import host_memory
from trainer.offload import Offloaded
from trainer.optimizer import is_quantised
from trainer.seal import seal

LAST = "last"
PREVIOUS = "previous"
_WEIGHTS = "model.safetensors"
_STATE = "state.pt"
_PROGRESS = "progress.json"


@dataclass
class Progress:
    """Where a run stands, in plain numbers.

    step: optimizer steps done; evaluations: made so far; stale: evaluations since the best;
    kept: name of a checkpoint on disk -> value of the watched metric, best first; seconds: spent so
    far. *_tokens: token budgets of training and evaluation, after what memory allowed; lowered_tokens: of
    training, by class of lengths. precision: of its arithmetic so far (fp32, fp16, bf16).
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
    precision: str = ""
    identity: str = ""


def save_checkpoint(
    directory: Path, *, model: nn.Module, progress: Progress, state: dict[str, Any] | None
) -> None:
    """Write `directory` whole; `state` None: weights only. An older `last` becomes `previous`."""
    building = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, building / _WEIGHTS)
    if state is not None:
        write_tensors(building / _STATE, state)
    write_json(building / _PROGRESS, progress.__dict__)
    seal(building)
    flush(building)
    if state is not None and directory.exists():
        _move(directory, directory.with_name(PREVIOUS))
    _move(building, directory)
    _flush_names(directory.parent)


def write_tensors(path: Path, state: dict[str, Any]) -> None:
    """`torch.save` through a stream of ours: given a path, it hides what the system said of a full disk."""
    with path.open("wb") as stream:
        torch.save(state, stream)


def load_weights(directory: Path, *, model: nn.Module) -> None:
    """Put a checkpoint's weights into `model`; every tensor must be there and fit."""
    with host_memory():
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


def has_state(directory: Path) -> bool:
    """Whether `directory` holds more than weights, so that a run can go on from it."""
    return (directory / _STATE).is_file()


def load_state(directory: Path) -> dict[str, Any]:
    """Optimizer, scheduler, scaler and random state of a checkpoint made by `save_checkpoint`."""
    with host_memory():
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


def resumable_in(checkpoints: Path) -> list[Path]:
    """The checkpoints that a run can go on from, newest first."""
    return [checkpoints / name for name in (LAST, PREVIOUS) if (checkpoints / name).is_dir()]


def kept_by(checkpoints: Path) -> set[str]:
    """Names of the best checkpoints that `last` and `previous` need beside them."""
    kept: set[str] = set()
    for path in resumable_in(checkpoints):
        with suppress(UserError):  # a damaged one needs nothing
            kept |= load_progress(path).kept.keys()
    return kept


def drop_resumable(checkpoints: Path) -> None:
    """Remove the checkpoints for resuming: the run is complete."""
    for path in reversed(resumable_in(checkpoints)):
        _drop(path)


def _flush_names(directory: Path) -> None:
    """After this a power cut does not take a rename back; Windows opens no directories."""
    if os.name == "posix":
        opened = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _move(source: Path, target: Path) -> None:
    """Rename a directory; one that is in the way is gone first, so that neither is ever half there."""
    if target.exists():
        _drop(target)
    source.replace(target)


def _drop(directory: Path) -> None:
    """Remove a directory that nobody will take for a whole one meanwhile."""
    doomed = directory.with_name(f".{directory.name}.{os.getpid()}.dropped.tmp")
    shutil.rmtree(doomed, ignore_errors=True)
    directory.replace(doomed)
    shutil.rmtree(doomed)
