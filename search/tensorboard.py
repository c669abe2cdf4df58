"""TensorBoard over the runs of a study, on this machine only."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.catalog import locate_study
from search.storage.url import sqlite_path
from trainer import UserError


@dataclass(frozen=True)
class Runs:
    """Directories with event files below `directory`; `named`: what they are called in TensorBoard."""

    directory: Path
    named: dict[str, Path]


def find_runs(study: str, *, studies_dir: Path, trial: int | None = None) -> Runs:
    """The runs of a study that have written event files: all, or those of one trial.

    Raises:
        UserError: there is no such study, or none has.
    """
    file = sqlite_path(locate_study(study, studies_dir))
    directory = (file.parent / file.stem) if file else studies_dir / study
    below = directory if trial is None else directory / f"trial-{trial:04d}"
    found = sorted({path.parent for path in below.glob("**/events.out.tfevents.*")})
    if not found:
        asked = f"trial {trial} of study {study}" if trial is not None else f"study {study}"
        raise UserError(f"{asked} has written nothing for TensorBoard yet in {below}")
    return Runs(below, {str(path.relative_to(directory)): path for path in found})


def command(runs: Runs, *, port: int) -> list[str]:
    """How TensorBoard is started: on 127.0.0.1; port 0 takes a free one, which it prints."""
    where = ["--host", "127.0.0.1", "--port", str(port), "--logdir", str(runs.directory)]
    return [sys.executable, "-m", "tensorboard.main", *where, "--load_fast=false"]


def serve(runs: Runs, *, port: int, say: Callable[[str], None], start: Callable[[Sequence[str]], int]) -> int:
    """Show the runs until Ctrl-C; TensorBoard's exit code, 0 after Ctrl-C. `start` runs a command."""
    say(f"Runs: {', '.join(runs.named)}")
    say("TensorBoard answers on this machine only; Ctrl-C ends it.")
    try:
        return start(command(runs, port=port))
    except KeyboardInterrupt:
        return 0


def start_process(words: Sequence[str]) -> int:
    """Run a command to its end; it shares this terminal and its Ctrl-C."""
    return subprocess.run(list(words), check=False).returncode
