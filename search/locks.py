"""Whether a lock file is held. A lock goes with its process; the file that is left behind says nothing."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout


def is_held(lock: Path) -> bool:
    """Does a living process, or this one, hold the lock file? No file is made where there is none."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
