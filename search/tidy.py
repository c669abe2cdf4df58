"""What of a trial's directory is removed once it has ended: nothing that a later step needs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from search.ending import FINISHED
from search.history import RESUMABLE
from trainer import sweep

if TYPE_CHECKING:
    from search.study import StudyHandle

#: what only an attempt that goes on needs, below the trial's directory, in each of its stages
_FOR_RESUMING = tuple(f"**/checkpoints/{name}" for name in RESUMABLE)
#: what every trial of a study has alike, and its configuration names
_ALIKE = ("tokenizer",)


def tidy(directory: Path, *, keep_all: bool) -> None:
    """Remove what a trial that has ended leaves for resuming and, unless `keep_all`, its tokenizer.

    Records stay: configuration, metrics, outcome, attempts, log, traceback.
    """
    for pattern in (*_FOR_RESUMING, *(() if keep_all else _ALIKE)):
        for path in list(directory.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    sweep(directory, below=True)


def tidy_ended(handle: StudyHandle, trial_directory: Callable[[int], Path]) -> None:
    """Tidy after trials whose worker died between telling and tidying."""
    for trial in handle.trials(*FINISHED):
        directory = trial_directory(trial.number)
        if (directory / "checkpoints").is_dir():
            tidy(directory, keep_all=handle.space.keep == "all")
