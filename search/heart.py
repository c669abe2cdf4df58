"""Whose a trial is, between machines: a mark in the storage that counts on for as long as its owner lives.

A worker marks the trials it holds with its name and a number, and every few seconds writes the next number.
The finish of a study is marked in the same way (`finish/turn.py`).
Who sees the same mark look after look knows its owner is gone. Looks are counted, not seconds: no clock is
compared with another, and who was asleep himself, or waited for the storage, has not looked. See
docs/decisions/0022-owners-between-machines.md.
"""

from __future__ import annotations

import os
import platform
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from search.storage.patience import faults
from search.study import StudyHandle

#: system attribute of a trial: [name of the owner, number]; the name is empty once the trial was let go
MARK = "cp_search:owner"
#: from one beat, or look, to the next
BEAT_S = 10.0
#: looks in a row at an unchanged mark after which its owner is gone
STALE_LOOKS = 6
#: between taking a trial over and being sure that nobody else did at the same moment
_SETTLE_S = 2.0


Mark = tuple[str, int]
_UNMARKED: Mark = ("", -1)


class Marks(Protocol):
    """The marks on what workers hold, each by its number."""

    def all(self) -> dict[int, Mark]:
        """Of all that needs an owner."""

    def of(self, number: int) -> Mark | None:
        """Of one; None: it needs no owner any more."""

    def write(self, number: int, mark: Mark) -> None:
        """Mark one; nothing is written where it needs no owner any more."""


class TrialMarks:
    """On the RUNNING trials of a study."""

    def __init__(self, handle: StudyHandle) -> None:
        self._handle = handle

    def all(self) -> dict[int, Mark]:
        """Of every trial that runs."""
        return {trial.number: mark_of(trial) for trial in self._handle.trials(TrialState.RUNNING)}

    def of(self, number: int) -> Mark | None:
        """None once it has ended."""
        trial = self._handle.trial(number)
        return mark_of(trial) if trial.state == TrialState.RUNNING else None

    def write(self, number: int, mark: Mark) -> None:
        """As a system attribute."""
        try:
            storage = self._handle.study._storage
            storage.set_trial_system_attr(self._handle.trial_id(number), MARK, list(mark))
        except UpdateFinishedTrialError:
            # Told in the meantime: it needs no owner any more.
            return


@dataclass
class _Watched:
    """What is another's: its mark when last looked at, how often that was the same."""

    mark: Mark
    unchanged: int = 0


class Heart:
    """Beats for the trials of one worker, or what else is marked, and watches those of the others.

    `beat` is called by a thread of its own between `start` and `stop`.
    """

    def __init__(
        self,
        handle: StudyHandle,
        *,
        marks: Marks | None = None,
        beat_s: float = BEAT_S,
        sleep: Callable[[float], None] = time.sleep,
        name: str | None = None,
    ) -> None:
        """`marks`: None are those on trials. `name`: of the worker; None makes one that no other has."""
        self.name = name or f"{this_host()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._marks = marks or TrialMarks(handle)
        self._beat_s = beat_s
        self._sleep = sleep
        self._held: set[int] = set()
        self._lost: set[int] = set()
        self._watched: dict[int, _Watched] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Beat from now on."""
        self._thread = threading.Thread(target=self._live, daemon=True, name="heart")
        self._thread.start()

    def stop(self) -> None:
        """Beat no more; a beat under way ends, unless it waits for a storage that is gone."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=self._beat_s)

    def hold(self, number: int) -> None:
        """The trial, which nobody had, is mine."""
        self._marks.write(number, (self.name, 0))
        with self._lock:
            self._held.add(number)
            self._lost.discard(number)

    def let_go(self, number: int) -> None:
        """The trial is nobody's; if it is not told, the next worker may have it at once."""
        with self._lock:
            self._held.discard(number)
            lost = number in self._lost
        if lost:
            return
        mark = self._marks.of(number)
        # It may have been taken since the last beat: then it is not mine to give away.
        if mark is not None and mark[0] == self.name:
            self._marks.write(number, ("", 0))

    def lost(self, number: int) -> bool:
        """Has another worker taken or ended the trial, as this one did not beat (a laptop that slept)?"""
        with self._lock:
            return number in self._lost

    def seize(self, number: int) -> bool:
        """Take a trial whose owner is gone; False if another was quicker.

        Whoever writes last has it: everybody writes, waits until all who saw the old mark have written, and
        looks again (Fischer's mutual exclusion).
        """
        mark = self._marks.of(number)
        if mark is None or not self.is_gone(number, mark):
            return False
        self._marks.write(number, (self.name, 0))
        self._sleep(_SETTLE_S)
        mark = self._marks.of(number)
        if mark is None or mark[0] != self.name:
            return False
        self.hold(number)
        return True

    def is_gone(self, number: int, mark: Mark) -> bool:
        """Is the owner of what bears this mark now known to be gone?"""
        if mark != _UNMARKED and (mark[0] == "" or process_gone(mark[0])):
            return True
        with self._lock:
            watched = self._watched.get(number)
        return watched is not None and watched.mark == mark and watched.unchanged >= STALE_LOOKS

    def beat(self) -> None:
        """Count on for what is one's own, and look at the others'."""
        with self._lock:
            before = set(self._held)
        marks = self._marks.all()
        with self._lock:
            # Ended by another worker, who had it before me and was only thought to be gone.
            self._lost |= (before & self._held) - marks.keys()
        for number, mark in marks.items():
            with self._lock:
                mine = number in self._held
            if mine:
                self._count_on(number, mark)
            else:
                self._look(number, mark)
        with self._lock:
            self._watched = {number: seen for number, seen in self._watched.items() if number in marks}

    def _live(self) -> None:
        while not self._ended.wait(self._beat_s):
            try:
                self.beat()
            except faults():
                # Waited for in vain, or a fault: the worker's own next call says so.
                continue

    def _count_on(self, number: int, mark: Mark) -> None:
        name, beats = mark
        if name == self.name:
            self._marks.write(number, (self.name, beats + 1))
            return
        with self._lock:
            self._lost.add(number)
            self._held.discard(number)

    def _look(self, number: int, mark: Mark) -> None:
        with self._lock:
            watched = self._watched.setdefault(number, _Watched(mark))
            if watched.mark == mark:
                watched.unchanged += 1
            else:
                self._watched[number] = _Watched(mark)


def mark_of(trial: FrozenTrial) -> Mark:
    """The owner's mark on a trial."""
    return read_mark(trial.system_attrs.get(MARK)) or _UNMARKED


def read_mark(stored: Any) -> Mark | None:
    """A mark as the storage gives it back; None where there is none."""
    return (str(stored[0]), int(stored[1])) if stored else None


def host_of(mark: Mark) -> str:
    """The host of an owner as a person knows it."""
    return mark[0].partition(":")[0]


def this_host() -> str:
    """A name of this machine, or container, in which process ids mean what they mean here."""
    return ":".join((socket.gethostname(), *_boot()))


def _boot() -> tuple[str, ...]:
    """What tells two boots apart, and two containers of one machine."""
    if platform.system() != "Linux":
        return (str(int(psutil.boot_time())), "")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return (boot[:8], str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]"))


def process_gone(owner: str) -> bool:
    """Is the owner a process of this host that does not exist any more?"""
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    return host == this_host() and rest.isdigit() and not psutil.pid_exists(int(rest))
