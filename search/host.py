"""The machine that trials run on: its cores, its memory, and what a process holds of it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil

from search.cgroup import Cgroup
from trainer import show_size

#: of the processes that hold memory the largest are named, unless they are small
_MOST_NAMED, _WORTH_NAMING = 3, 2**28


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

    def held_bytes(self, pid: int) -> int | None:
        """What the process holds of memory; None: there is no such process.

        Pages of files, libraries above all, are left out where the system tells them apart: processes share
        them, and they are given back when memory is needed.
        """
        try:
            info = psutil.Process(pid).memory_info()
        except psutil.Error:
            return None
        return int(info.rss - getattr(info, "shared", 0))

    def others(self) -> str:
        """Who holds most of the memory beside this process and its children: `firefox 4.10 GiB, java 2 …`."""
        ours = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
        names = {one.pid: one.info["name"] for one in psutil.process_iter(["name"]) if one.pid not in ours}
        held = {pid: self.held_bytes(pid) or 0 for pid in names}
        largest = sorted(held, key=lambda pid: held[pid], reverse=True)[:_MOST_NAMED]
        named = (pid for pid in largest if held[pid] >= _WORTH_NAMING)
        return ", ".join(f"{names[pid]} {show_size(held[pid])}" for pid in named)

    def oom_kills(self) -> int | None:
        """How many processes here the kernel's OOM killer has ended so far; None: it is not counted."""
        return self._cgroup.oom_kills()
