"""Host memory under the trials of a worker: whether another one has room, and whether one died of it.

See docs/decisions/0047-waiting-for-memory.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from search.seats import GUESSED_BYTES, SPARE_BYTES
from trainer import HostFull, Outcome, show_size

if TYPE_CHECKING:
    from search.host import Host

#: how often memory is looked at
_LOOK_S = 1.0
#: for how long a trial waits for host memory while nothing of ours runs that could give some back
LONGEST_SHORT_S = 1800.0


class MemoryWatch:
    """Looks at the memory of one machine. `held` is always what each running trial holds of it, in bytes."""

    def __init__(self, host: Host, *, clock: Callable[[], float], say: Callable[[str], None]) -> None:
        """`clock`: seconds that only go forward. `say`: shows a person one line."""
        self._host = host
        self._clock = clock
        self._say = say
        self._looked = float("-inf")
        self._memory = host.memory()
        self._oom_kills = host.oom_kills()
        self._peak_bytes = 0
        #: of the shortage that lasts it was said that a trial waits beside ours, and others'; None: nothing
        self._said: tuple[bool, bool] | None = None
        self._short_since: float | None = None

    def is_due(self) -> bool:
        """Is it time for another look? Then it is taken."""
        now = self._clock()
        if now - self._looked < _LOOK_S:
            return False
        self._looked = now
        self._memory = self._host.memory()
        return True

    def held_by(self, pid: int | None) -> int:
        """What the process of a trial holds, in bytes; 0: nobody knows, or it is gone."""
        held = (self._host.held_bytes(pid) or 0) if pid is not None else 0
        self._peak_bytes = max(self._peak_bytes, held)
        return held

    def has_room(self, held: Sequence[int]) -> bool:
        """May another trial start without pushing the machine over?

        The first of all is let in on trust: only trials that ran have shown what they need. One that would
        run alone may have the memory that is otherwise left to other programs.
        """
        if not held and not self._peak_bytes:
            return True
        if self._missing_bytes(held) > 0:
            return False
        self._said = self._short_since = None
        return True

    def await_room(self, held: Sequence[int], *, others_run: bool) -> None:
        """Say, once until there is room again, that a trial waits for it.

        others_run: another worker runs trials of this search here, which will give their memory back.

        Raises:
            HostFull: no trial runs that could give memory back, and there was none for `LONGEST_SHORT_S`.
        """
        now = self._clock()
        if held or others_run:
            self._short_since = None
        elif self._short_since is None:
            self._short_since = now
        elif now - self._short_since >= LONGEST_SHORT_S:
            raise HostFull(
                f"no host memory for a trial in {LONGEST_SHORT_S / 60:.0f} min: {self._shortage()}. Close "
                "other programs, or search smaller models or batches; the same command goes on"
            )
        if self._said != (bool(held), others_run):
            self._said = bool(held), others_run
            self._say(self._waiting(held, others_run=others_run))

    def explained(self, outcome: Outcome, *, held_bytes: int) -> Outcome:
        """The outcome of a process that SIGKILL ended: by the kernel for want of memory, or by a person.

        The kernel counts what it ends. Where it does not, how much memory was left tells which it was.
        """
        if outcome.error is None or "signal 9" not in outcome.error:
            return outcome
        seen = f"it held {show_size(held_bytes)}, {show_size(self._memory.available_bytes)} were left"
        killed = self._was_oom_killed()
        if killed:
            told = f"the kernel's OOM killer ended it ({seen})"
            return replace(outcome, error=told, error_kind="host_memory")
        short = self._memory.available_bytes < max(SPARE_BYTES, self._memory.total_bytes // 20)
        if killed is None and short:
            return replace(outcome, error=f"out of host memory ({seen})", error_kind="host_memory")
        return replace(outcome, error=f"killed by signal 9 (SIGKILL; {seen})")

    def _was_oom_killed(self) -> bool | None:
        """Has the kernel ended a process that no trial's death is laid to yet? None: nobody knows."""
        now = self._host.oom_kills()
        if now is None or self._oom_kills is None:
            return None
        killed = now > self._oom_kills
        self._oom_kills += killed
        return killed

    def _waiting(self, held: Sequence[int], *, others_run: bool) -> str:
        if not held and others_run:
            return (
                f"Waiting for host memory that trials of another worker hold: {self._shortage(named=False)}"
            )
        if not held:
            return f"Waiting for host memory, up to {LONGEST_SHORT_S / 60:.0f} min: {self._shortage()}"
        free = f"{show_size(max(0, self._free_bytes(held)))} are to be had"
        return (
            f"Waiting for host memory: a trial needs {show_size(self._needed_bytes)}, {free}, of which "
            f"{show_size(SPARE_BYTES)} stay free"
        )

    def _shortage(self, *, named: bool = True) -> str:
        """Of a trial that would run alone: how much is missing, and (`named`) who has it."""
        others = self._host.others() if named else ""
        holders = f"; others hold it: {others}" if others else ""
        needed, missing = show_size(self._needed_bytes), show_size(self._missing_bytes(()))
        return f"a trial needs {needed}, {missing} more than are free{holders}"

    def _missing_bytes(self, held: Sequence[int]) -> int:
        """What another trial needs beyond what there is for it; not above 0: there is enough."""
        spare = SPARE_BYTES if held else 0
        return self._needed_bytes + spare - self._free_bytes(held)

    @property
    def _needed_bytes(self) -> int:
        return self._peak_bytes or GUESSED_BYTES

    def _free_bytes(self, held: Sequence[int]) -> int:
        """Host memory that no trial here will come to need; below 0 where they want more than there is."""
        growing = sum(max(0, self._needed_bytes - one) for one in held)
        return self._host.memory().available_bytes - growing
