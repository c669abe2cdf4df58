"""What a container, or a service, is allowed of its machine: the control groups of this process.

Both versions are read: docs.kernel.org/admin-guide/cgroup-v2.html and, beside it, cgroup-v1/memory.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
#: which groups this process is in, one line for each hierarchy: number, controllers (none: version 2), path
_OWN = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Allowance:
    """Bytes of memory that a group may use, and those it has left."""

    limit_bytes: int
    left_bytes: int


class Cgroup:
    """The control group of this process, and those it is in; all of them limit it."""

    def __init__(self, root: Path = _ROOT, *, own: Path = _OWN) -> None:
        """`root`: where they are mounted. `own`: which one this process is in."""
        self._root = root
        self._own = own

    def memory(self) -> Iterator[Allowance]:
        """Of every group that limits memory."""
        for level in self._levels("memory"):
            limit = _number(level, "memory.max", "memory.limit_in_bytes")
            used = _number(level, "memory.current", "memory.usage_in_bytes")
            if limit is not None and used is not None:
                # The page cache counts as used, but is given back when it is needed.
                yield Allowance(limit, limit - used + _inactive_file(level))

    def cores(self) -> float | None:
        """Cores' worth of time the process gets; None: no limit."""
        quotas = [quota for level in self._levels("cpu") if (quota := _quota(level)) is not None]
        return min(quotas, default=None)

    def oom_kills(self) -> int | None:
        """How many processes of the group the kernel's OOM killer has ended; None: it is not counted here."""
        for level in self._levels("memory"):
            for name in ("memory.events", "memory.oom_control"):
                count = _rows(level / name).get("oom_kill")
                if count is not None:
                    return count
        return None

    def _levels(self, controller: str) -> Iterator[Path]:
        """The groups that decide over `controller`, the innermost first."""
        for line in _read(self._own).splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            base = self._root / controller if controllers else self._root
            level = base / path.lstrip("/")
            # A container may be told a path of its machine, and be shown its own group as the outermost.
            level = level if level.is_dir() else base
            yield level
            while level != base:
                level = level.parent
                yield level


def _quota(level: Path) -> float | None:
    words = _read(level / "cpu.max").split() or [
        _read(level / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    ]
    if len(words) != 2 or not all(word.isdigit() for word in words):
        return None
    return int(words[0]) / int(words[1])


def _inactive_file(level: Path) -> int:
    """With the groups inside it, which version 1 counts apart."""
    rows = _rows(level / "memory.stat")
    return rows.get("total_inactive_file", rows.get("inactive_file", 0))


def _number(level: Path, *names: str) -> int | None:
    texts = (_read(level / name).strip() for name in names)
    return next((int(text) for text in texts if text.isdigit()), None)


def _rows(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _read(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:  # no control groups, or the other version
        return ""
