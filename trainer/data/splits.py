"""A file of rows made ready for training: texts, token ids, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainer.config.schema import Config
from trainer.data.read import Table, label_matrix, read_table, require_learnable
from trainer.data.tasks import Task, idle_labels, resolve_tasks
from trainer.data.tokens import Progress, Tokens, tokenise
from trainer.errors import ConfigError, Problem

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Rows:
    """One file, read and labelled: labels_NT holds class numbers, MASKED where there is none."""

    table: Table
    labels_NT: NDArray[np.int64]


@dataclass(frozen=True)
class RowSet:
    """The files of one run and the tasks found in the training rows; idle: on labels that train nothing."""

    tasks: tuple[Task, ...]
    train: Rows
    val: Rows
    test: Rows | None
    idle: str | None = None

    @property
    def notes(self) -> list[str]:
        """What was found odd while reading, for a person."""
        files = [rows for rows in (self.train, self.val, self.test) if rows is not None]
        notes = [(rows, note) for rows in files for note in rows.table.notes]
        if self.idle is not None:
            notes.append((self.train, self.idle))
        return [f"{rows.table.path}: {note}" for rows, note in notes]


@dataclass(frozen=True)
class Split:
    """Rows with their token ids."""

    rows: Rows
    tokens: Tokens

    @property
    def labels_NT(self) -> NDArray[np.int64]:
        """Class numbers, MASKED where a row has no label for a task."""
        return self.rows.labels_NT


def read_rows(config: Config) -> RowSet:
    """Read and label every file the configuration names; torch is not needed for it.

    Raises:
        ConfigError: train_path or val_path is not given. DataError: a file cannot be used.
    """
    train_path, val_path = _required_paths(config)
    table = read_table(train_path)
    tasks = resolve_tasks(config.model, table.fields)
    train = Rows(table, label_matrix(table, tasks=tasks))
    require_learnable(table, train.labels_NT, tasks)
    test_path = config.data.test_path
    test = _labelled(Path(test_path), tasks) if test_path else None
    idle = idle_labels(config.model, table.fields)
    return RowSet(tasks, train, _labelled(val_path, tasks), test, idle)


def tokenised(
    rows: Rows,
    *,
    tokenizer: PreTrainedTokenizerFast,
    cache_dir: Path,
    progress: Progress | None = None,
) -> Split:
    """`rows` with token ids, from the cache where they are there already; else `progress` is told."""
    texts = rows.table.texts
    return Split(rows, tokenise(texts, tokenizer=tokenizer, cache_dir=cache_dir, progress=progress))


def cache_directory(config: Config) -> Path:
    """Where token caches lie for this run."""
    return Path(config.data.cache_dir).expanduser() if config.data.cache_dir else _user_cache()


def _user_cache() -> Path:
    return Path.home() / ".cache" / "cp-search"


def _labelled(path: Path, tasks: Sequence[Task]) -> Rows:
    table = read_table(path)
    return Rows(table, label_matrix(table, tasks=tuple(tasks)))


def _required_paths(config: Config) -> tuple[Path, Path]:
    missing = [key for key in ("train_path", "val_path") if getattr(config.data, key) is None]
    if missing:
        raise ConfigError(
            [
                Problem(None, f"data.{key} is not set: name the file with --set data.{key}=FILE")
                for key in missing
            ]
        )
    return Path(str(config.data.train_path)), Path(str(config.data.val_path))
