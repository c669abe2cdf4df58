"""The live line of a single run: a bar on a terminal, lines in a file."""

from __future__ import annotations

import io
import os
import signal

import pytest
from rich.console import Console

from search.cli.observer import PLAIN_EVERY, watch


def shown(*, terminal: bool, steps: int) -> str:
    stream = io.StringIO()
    with watch(Console(file=stream, force_terminal=terminal, width=100)) as observer:
        observer.say("Epoch 1.00 [not markup]")
        for step in range(1, steps + 1):
            observer.progress(step, steps, f"Step {step} | Loss: 0.4521")
    return stream.getvalue()


def test_a_file_gets_plain_lines_now_and_then() -> None:
    lines = shown(terminal=False, steps=2 * PLAIN_EVERY + 1).splitlines()
    steps = [f"Step {step} | Loss: 0.4521" for step in (PLAIN_EVERY, 2 * PLAIN_EVERY, 2 * PLAIN_EVERY + 1)]
    assert lines == ["Epoch 1.00 [not markup]", *steps]


def test_steps_are_told_anew_after_more_texts_were_tokenised() -> None:
    stream = io.StringIO()
    with watch(Console(file=stream)) as observer:
        observer.progress(60_000, 60_001, "Tokenising")
        for step in range(1, PLAIN_EVERY + 1):
            observer.progress(step, 900, f"Step {step}")
    assert stream.getvalue().splitlines() == ["Tokenising", f"Step {PLAIN_EVERY}"]


def test_a_terminal_gets_a_bar_that_takes_itself_away() -> None:
    text = shown(terminal=True, steps=3)
    assert "Epoch 1.00 [not markup]" in text
    assert "\x1b[" in text


def test_the_first_interrupt_asks_and_the_second_insists() -> None:
    with watch(Console(file=io.StringIO())) as observer:
        assert not observer.interrupted()
        os.kill(os.getpid(), signal.SIGINT)
        assert observer.interrupted()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
