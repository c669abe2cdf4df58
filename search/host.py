"""The machine that trials run on: its cores, its memory, and what a process holds of it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil

from search.cgroup import Cgroup


@dataclass(frozen=True)
class Memory:
    """Host memory in bytes: what a new process could have without swapping, and all there is."""

    available_bytes: int
    total_bytes: int


class Host:
    """This machine, or the part of it that its container may use."""

    def __init__(self, cgroup: Cgroup | None = None) -> None:
        """`cgroup`: None: of this process."""
        self._cgroup = cgroup or Cgroup()

    def cores(self) -> int:
        """Physical cores that this process may use; at least 1. Two threads of one core train no faster."""
        logical = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        physical = psutil.cpu_count(logical=False) or logical
        return max(1, min(logical, physical, int(self._cgroup.cores() or logical)))

    def memory(self) -> Memory:
        """As it is now; of machine and container the smaller."""
        machine = psutil.virtual_memory()
        available, total = int(machine.available), int(machine.total)
        for allowed in self._cgroup.memory():
            # One without a limit allows more than there is.
            if allowed.limit_bytes < machine.total:
                available, total = min(available, allowed.left_bytes), min(total, allowed.limit_bytes)
        return Memory(max(0, available), total)

    def resident_bytes(self, pid: int) -> int | None:
        """What the process holds of memory; None: there is no such process."""
        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return None

    def oom_kills(self) -> int | None:
        """How many processes here the kernel's OOM killer has ended so far; None: it is not counted."""
        return self._cgroup.oom_kills()
