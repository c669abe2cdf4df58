"""Ends processes, or spoils a disk, at a known moment; every Python that finds it on its path imports it.

The moment is an audit event (PEP 578) on a path. FATAL in the environment is the `Moment` of
`tests/faults/moments.py` as JSON; each interpreter reads it once, and what it forks inherits the hook.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_FILES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "shutil.rmtree")


Arguments = tuple[Any, ...]


def _watch(rule: dict[str, Any]) -> None:
    worker = int(os.environ.setdefault("FATAL_WORKER", str(os.getpid())))
    strike = _strikes(rule, worker)[rule["victim"]]
    wanted = re.compile(rule["path"])
    met = spoiled = False

    def hook(event: str, arguments: Arguments) -> None:
        nonlocal met, spoiled
        if event not in _FILES:
            return
        here = event == rule["event"] and any(wanted.search(str(one)) for one in arguments[:2])
        if met or (here and not rule["after"]):
            spoiled = spoiled or rule["victim"] == "mount"
            met = False
            strike()
        met = met or (here and rule["after"])
        if spoiled and _writes(event, arguments) and str(arguments[0]).startswith(rule["filler"]):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(arguments[0]))

    if rule["victim"] == "clock":
        _own_clock(rule["filler"])
    sys.addaudithook(hook)


def _writes(event: str, arguments: Arguments) -> bool:
    flags = arguments[2] if event == "open" and len(arguments) > 2 else os.O_WRONLY
    return event != "os.listdir" and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _strikes(rule: dict[str, Any], worker: int) -> dict[str, Callable[[], None]]:
    return {
        "everything": lambda: os.killpg(0, signal.SIGKILL),
        "worker": lambda: os.kill(worker, signal.SIGKILL),
        "self": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "another": lambda: os.kill(int(rule["filler"]), signal.SIGKILL),
        "frozen": lambda: _freeze(rule["filler"]),
        "disk": lambda: _fill(rule["filler"]),
        "mount": lambda: None,
        "clock": lambda: _set_clock(rule["filler"]),
    }


def _freeze(pid: str) -> None:
    """Stop a process, and all that it has begun and that has not just ended."""
    os.kill(int(pid), signal.SIGSTOP)
    while _read(f"/proc/{pid}/stat").rpartition(")")[2].split()[0] not in "TZX":
        time.sleep(0.01)  # until then it may begin another one
    for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  # as below
        for child in _read(f"/proc/{pid}/task/{thread}/children").split():
            with suppress(ProcessLookupError, FileNotFoundError):
                _freeze(child)


def _read(file: str) -> str:
    with open(file, encoding="utf-8") as opened:  # noqa: PTH123  # as below
        return opened.read()


def _set_clock(file: str) -> None:
    """From now on the clock of every process of the command is set by the seconds in the file's name."""
    os.close(os.open(file, os.O_CREAT | os.O_WRONLY))


def _own_clock(file: str) -> None:
    real, seconds = time.time, float(file.rpartition("clock")[2])
    time.time = lambda: real() + (seconds if os.path.exists(file) else 0.0)  # noqa: PTH110  # as above


def _fill(filler: str) -> None:
    """Take what is left of the disk, once; whoever makes room again leaves a file in its place."""
    if os.path.exists(filler):  # noqa: PTH110  # pathlib is not imported into every interpreter for this
        return
    descriptor = os.open(filler, os.O_CREAT | os.O_WRONLY)
    with suppress(OSError):
        while True:
            os.write(descriptor, bytes(4096))
    os.close(descriptor)


if "FATAL" in os.environ:
    _watch(json.loads(os.environ["FATAL"]))
