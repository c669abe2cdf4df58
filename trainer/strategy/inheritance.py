"""Weights that a stage takes over from the one before it; heads of tasks that differ begin anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from trainer.data.tasks import Task
from trainer.errors import ModelError
from trainer.export import tasks_of
from trainer.model.classifier import Classifier

#: rows of the output layer: (now, then)
Rows = tuple[slice, slice]

WEIGHTS = "final_model.pt"


@torch.no_grad()
def inherit(model: Classifier, *, tasks: Sequence[Task], parent: Path) -> list[str]:
    """Put the best weights of the finished run `parent` into `model`, which is still on the CPU.

    Encoder and pooler are taken whole. Of the output layer each task takes its own rows, where `parent` has a
    task of that name and the same classes; the others keep the random weights they have. Gives the names of
    the tasks that begin anew.

    Raises:
        ModelError: the weights are of another architecture.
    """
    before: dict[str, Tensor] = torch.load(parent / WEIGHTS, weights_only=True, map_location="cpu")
    own, output = model.net.state_dict(), _output_layer(model.net, sum(model.sizes))
    rows, fresh = _shared_rows(tasks, tasks_of(parent))
    for name, value in before.items():
        if name.rpartition(".")[0] == output:
            for new, old in rows:
                own[name][new] = value[old]
        elif name in own and own[name].shape == value.shape:
            own[name].copy_(value)
        else:
            message = f"{name} is not the model's; the stages differ in more than heads"
            raise ModelError(f"{parent / WEIGHTS}: {message}")
    return fresh


def _output_layer(net: nn.Module, size: int) -> str:
    """Name of the last linear layer that gives `size` numbers: the logits."""
    found = [
        str(name)
        for name, module in net.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == size
    ]
    return found[-1]


def _shared_rows(tasks: Sequence[Task], before: Sequence[Task]) -> tuple[list[Rows], list[str]]:
    """(rows now, rows then) of every task that both have with the same classes, and the other tasks."""
    then = {(task.name, task.classes): rows for task, rows in _slices(before)}
    rows, fresh = list[Rows](), list[str]()
    for task, now in _slices(tasks):
        old = then.get((task.name, task.classes))
        if old is None:
            fresh.append(task.name)
        else:
            rows.append((now, old))
    return rows, fresh


def _slices(tasks: Sequence[Task]) -> list[tuple[Task, slice]]:
    found, start = list[tuple[Task, slice]](), 0
    for task in tasks:
        found.append((task, slice(start, start + len(task.classes))))
        start += len(task.classes)
    return found
