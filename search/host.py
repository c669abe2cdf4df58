"""The machine that trials run on: its cores, its memory, and what a process holds of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

#: limits of a container, https://docs.kernel.org/admin-guide/cgroup-v2.html
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Memory:
    """Host memory in bytes: what a new process could have without swapping, and all there is."""

    available_bytes: int
    total_bytes: int


class Host:
    """This machine, or the part of it that its container may use."""

    def __init__(self, cgroup: Path = _CGROUP) -> None:
        self._cgroup = cgroup

    def cores(self) -> int:
        """Physical cores that this process may use; at least 1. Two threads of one core train no faster."""
        logical = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        physical = psutil.cpu_count(logical=False) or logical
        return max(1, min(logical, physical, self._quota() or logical))

    def memory(self) -> Memory:
        """As it is now; of machine and container the smaller."""
        machine = psutil.virtual_memory()
        available, total = int(machine.available), int(machine.total)
        limit, used = self._number("memory.max"), self._number("memory.current")
        if limit is not None and used is not None and limit < total:
            # The page cache counts as used, but is given back when it is needed.
            cache = self._inactive_file()
            available, total = min(available, limit - used + cache), limit
        return Memory(max(0, available), total)

    def resident_bytes(self, pid: int) -> int | None:
        """What the process holds of memory; None: there is no such process."""
        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return None

    def _quota(self) -> int | None:
        """Whole cores a container may use, at least 1; None: no limit."""
        words = self._read("cpu.max").split()
        if len(words) != 2 or not all(word.isdigit() for word in words):
            return None
        return max(1, int(words[0]) // int(words[1]))

    def _inactive_file(self) -> int:
        rows = dict(line.split(maxsplit=1) for line in self._read("memory.stat").splitlines() if " " in line)
        return int(rows.get("inactive_file", 0))

    def _number(self, name: str) -> int | None:
        text = self._read(name).strip()
        return int(text) if text.isdigit() else None

    def _read(self, name: str) -> str:
        try:
            return (self._cgroup / name).read_text(encoding="utf-8")
        except OSError:  # no container, or an older kind: the machine's own numbers hold
            return ""
