"""Stopping, asked for from a signal's handler."""

from __future__ import annotations

import signal
import time
from types import FrameType

import pytest

from search.interruption import Stop

#: between two signals: many of them meet every line of a wait
_EVERY_S = 1e-4
#: waits that were cut short
_WAITS = 2_000
#: until a signal that comes once, in the middle of a wait that is longer than any machine is slow
_ONCE_S, _LONG_S = 0.05, 20.0


needs_timers = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="there are no timers that send signals here"
)


@needs_timers
def test_a_signal_in_the_middle_of_a_wait_is_heeded() -> None:
    stops = [Stop()]

    def ask(_signal: int, _frame: FrameType | None) -> None:
        stops[-1].ask()

    before = signal.signal(signal.SIGALRM, ask)
    signal.setitimer(signal.ITIMER_REAL, _EVERY_S, _EVERY_S)
    try:
        for _ in range(_WAITS):
            stops[-1] = Stop()
            stops[-1].wait(60)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stops[-1].asked


@needs_timers
def test_a_single_signal_ends_a_wait_and_no_second_one_is_needed() -> None:
    stop = Stop()
    before = signal.signal(signal.SIGALRM, lambda _signal, _frame: stop.ask())
    signal.setitimer(signal.ITIMER_REAL, _ONCE_S)
    began = time.monotonic()
    try:
        stop.wait(_LONG_S)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stop.asked
    assert time.monotonic() - began < _LONG_S / 2


def test_a_wait_ends_when_its_time_is_over_and_at_once_for_who_comes_after_the_asking() -> None:
    stop = Stop()
    stop.wait(0.01)
    assert not stop.asked
    stop.ask()
    began = time.monotonic()
    for _ in range(3):
        stop.wait(60)
    assert time.monotonic() - began < 30
