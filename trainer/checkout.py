"""The git checkout that a run was started in, so that its code can be found again."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkout:
    """commit: the full hash of HEAD. dirty: files that git knows differ from it."""

    commit: str
    dirty: bool


def checkout_of(directory: Path) -> Checkout | None:
    """What git says of `directory`; None: no git, no checkout there, or no commit in it."""
    commit = _git(directory, "rev-parse", "--verify", "HEAD")
    changes = _git(directory, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return None
    return Checkout(commit.strip(), dirty=bool(changes.strip()))


def _git(directory: Path, *words: str) -> str | None:
    # Without its optional locks git only reads: a run must not stand in the way of a commit.
    command = ["git", "--no-optional-locks", *words]
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
