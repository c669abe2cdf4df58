"""Moving aside what an earlier study left under a name that is needed: kept, never read as one's own."""

from __future__ import annotations

from pathlib import Path


def move_aside(path: Path, *, name: str) -> Path:
    """Rename `path` to `name` beside it, or `name-2` and so on where that is taken; where it lies now."""
    taken, free = 2, path.with_name(name)
    while free.exists():
        free = path.with_name(f"{name}-{taken}")
        taken += 1
    return path.rename(free)


def holds_work(directory: Path) -> bool:
    """Is there more in `directory` than locks?"""
    return any(not entry.name.startswith(".") for entry in directory.glob("*"))
