"""What a person sees while a search runs."""

from __future__ import annotations

import io

import pytest
from optuna.trial import TrialState, create_trial
from rich.console import Console

from search.console import ConsoleAudience, open_audience
from search.verdict import Verdict

LONG = {"training.learning_rate": 2e-5, "model.pooling": "mean", "data.cache_dir": "[bold]" + "x" * 150}


@pytest.fixture
def text() -> io.StringIO:
    return io.StringIO()


def show(audience: ConsoleAudience) -> None:
    best = create_trial(state=TrialState.COMPLETE, value=0.8423)
    best.number = 3
    audience.trial_started(7, values=LONG, resumed=False)
    audience.progress(5, 10, "Step 5 | Loss: 0.4521")
    audience.evaluated(7, step=2, metrics={"eval_f1_macro": 0.8123, "train_loss": 0.4})
    audience.trial_ended(7, verdict=Verdict(TrialState.PRUNED, cause="oom", error="5 GiB of 4"), best=best)
    audience.trial_ended(8, verdict=Verdict(TrialState.COMPLETE, value=0.5), best=None)


def test_in_a_file_every_event_is_one_plain_line(text: io.StringIO) -> None:
    with open_audience(Console(file=text, width=40)) as audience:
        show(audience)
    assert text.getvalue().splitlines() == [
        f"Trial 7 starts: learning_rate 2e-05, pooling mean, cache_dir [bold]{'x' * 150}",
        "Trial 7 | evaluation 2 | eval_f1_macro 0.8123 | train_loss 0.4000",
        "Trial 7 PRUNED (oom: 5 GiB of 4). Best so far: 0.8423 (trial 3)",
        "Trial 8 COMPLETE 0.5000",
    ]


def test_on_a_terminal_there_is_a_bar_with_the_live_line(text: io.StringIO) -> None:
    console = Console(file=text, width=100, force_terminal=True, color_system="standard")
    with open_audience(console) as audience:
        audience.trial_started(7, values={}, resumed=True)
        audience.progress(5, 10, "Step 5 | Loss: 0.4521")
        audience._bar.refresh()
        shown = text.getvalue()
    assert "Trial 7 goes on" in shown
    assert "Step 5 | Loss: 0.4521" in shown
    assert "5/10" in shown
