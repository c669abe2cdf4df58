"""Small real runs: rows, configurations, and observers that behave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.config.schema import Config

#: what makes a text toxic; the rest of a text is noise
_MARKS = "爛好"
_NOISE = "的是不了人我在有他這中大來上國個到說們為"


def write_rows(path: Path, rows: int, *, shift: int = 0) -> Path:
    """`rows` short texts of several lengths with one binary label that can be learnt from one character."""
    lines = [json.dumps(_row(index + shift), ensure_ascii=False) for index in range(rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _row(index: int) -> dict[str, Any]:
    label = index * 7 % 5 % 2
    noise = "".join(_NOISE[(index * 13 + place * place) % len(_NOISE)] for place in range(3 + index % 17))
    return {"text": f"{noise}{_MARKS[label]}{index}", "labels": label}


def make_config(directory: Path, **settings: Any) -> Config:
    """builtin:tiny on 40 training and 12 validation rows in `directory`; `section__key=value` changes it."""
    data = directory / "rows"
    if not data.exists():
        data.mkdir(parents=True)
        write_rows(data / "train.jsonl", 40)
        write_rows(data / "val.jsonl", 12, shift=1000)
    sections: dict[str, dict[str, Any]] = {
        "model": {"name": "builtin:tiny", "max_sequence_length": 32, "dropout_rate": 0.1},
        "data": {
            "train_path": str(data / "train.jsonl"),
            "val_path": str(data / "val.jsonl"),
            "cache_dir": str(directory / "cache"),
        },
        "training": {"num_epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "fp16": False},
        "callbacks": {},
        "optimization": {},
        "experiment": {"seed": 7},
        "strategy": {},
    }
    for path, value in settings.items():
        section, _, key = path.partition("__")
        sections[section][key] = value
    return Config.model_validate(sections)


class Watcher:
    """Keeps what was said; interrupts once `stop_at` steps are done; calls `each(done)` after every step."""

    def __init__(self, *, stop_at: int | None = None, each: Callable[[int], None] | None = None) -> None:
        self.lines: list[str] = []
        self.statuses: list[str] = []
        self._stop_at = stop_at
        self._each = each
        self._done = 0

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, done: int, total: int, status: str) -> None:
        self._done = done
        self.statuses.append(status)
        if self._each is not None:
            self._each(done)

    def interrupted(self) -> bool:
        return self._stop_at is not None and self._done >= self._stop_at


def weights_of(directory: Path) -> dict[str, Tensor]:
    """The final model of a run."""
    state: dict[str, Tensor] = torch.load(directory / "final_model.pt", weights_only=True)
    return state


def difference(left: dict[str, Tensor], right: dict[str, Tensor]) -> float:
    """Distance of two models' weights over their norm."""
    assert left.keys() == right.keys()
    apart = torch.stack([(left[name] - right[name]).norm() for name in left]).norm()
    return float(apart / torch.stack([value.norm() for value in right.values()]).norm())


def metrics_of(directory: Path) -> list[dict[str, float]]:
    """The evaluations of a run."""
    history: list[dict[str, float]] = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
    return history


def checkpoints_of(directory: Path) -> set[str]:
    """What lies under checkpoints/."""
    return {path.name for path in (directory / "checkpoints").iterdir()}
