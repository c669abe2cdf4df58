"""Death between any two operations on files or a database: a forked process is killed before its n-th.

A command without children needs no process of its own for this, and a fork takes milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

#: audit events that change what lies on a disk; of "open" those that write
_CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


def deaths(home: Path, command: Callable[[], None]) -> Iterator[int]:
    """Run `command` on fresh copies of `home`, killed before its first operation, its second, and so on.

    Yields how many operations it had done each time, `home` being what the death left; after the last one
    `home` is as it was, and the command ran through once.
    """
    kept = home.with_name(f"{home.name}.kept")
    shutil.copytree(home, kept)
    for done in range(1000):
        if not _dies(home, command, after=done):
            break
        yield done
        _restore(home, kept)
    assert done > 2, "nothing was struck"


def _restore(home: Path, kept: Path) -> None:
    """In place: it may be somebody's working directory."""
    for path in home.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(kept, home, dirs_exist_ok=True)


def _dies(home: Path, command: Callable[[], None], *, after: int) -> bool:
    process = multiprocessing.get_context("fork").Process(target=_live, args=(home, command, after))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), f"it ended with {process.exitcode}"
    return process.exitcode != 0


def _live(home: Path, command: Callable[[], None], after: int) -> None:
    left = after

    def strike() -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        if (
            name in _CHANGES
            and str(home) in str(Path(str(arguments[0])).absolute())
            and _writes(name, arguments)
        ):
            strike()

    event.listen(Engine, "commit", lambda _connection: strike())
    sys.addaudithook(hook)
    command()


def _writes(name: str, arguments: tuple[Any, ...]) -> bool:
    return name != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
