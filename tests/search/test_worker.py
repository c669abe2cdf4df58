"""The supervisor: budget, states, pruning, repeats, and what is told of how a trial ended."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest
from optuna.trial import FrozenTrial, TrialState

from search.ending import FINISHED
from search.engine.inline import InlineEngine
from search.engine.job import Found
from search.study import StudyHandle, open_study
from search.worker import Workplace, search
from tests.search.fakes import SPACE, Bench, Scripted, end_by_exception
from trainer import Observer, Report, TooManyFailures

GIB = 2**30


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def budget(trials: int) -> str:
    return SPACE.replace("trials: 4", f"trials: {trials}")


def test_a_search_ends_when_the_study_has_as_many_trials_as_were_asked_for(bench: Bench) -> None:
    end = bench.search(Scripted)
    assert end.reason == "trials"
    assert end.trials == {"complete": 4}
    assert [trial.value for trial in bench.trials()] == [0.6] * 4


def test_asking_for_the_same_total_again_runs_nothing_and_for_more_only_the_rest(bench: Bench) -> None:
    bench.search(Scripted, text=budget(2))
    bench.search(Scripted, text=budget(2))
    assert len(bench.trials()) == 2
    bench.search(Scripted, text=budget(3))
    assert [number for number, _ in bench.listener.started] == [0, 1, 2]


@dataclass(frozen=True)
class SignalledLate(StudyHandle):
    """A study whose reader is sent SIGTERM, once, when he finds all four trials ended."""

    sent: Event = field(default_factory=Event)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """As they are stored."""
        found = super().trials(*states)
        if not self.sent.is_set() and sum(trial.state in FINISHED for trial in found) == 4:
            self.sent.set()
            os.kill(os.getpid(), signal.SIGTERM)
        return found


def test_a_signal_after_the_last_trial_interrupts_what_would_follow(bench: Bench) -> None:
    opened = bench.open()
    handle = SignalledLate(opened.study, opened.space, opened.storage_url)
    place = Workplace(
        bench.directory,
        InlineEngine(),
        bench.listener,
        make_job=lambda _config, directory, _seat: Scripted(directory),
    )
    end = search(handle, workplace=place)
    assert (end.interrupted, end.trials) == (True, {"complete": 4})
    assert bench.listener.lines[-1] == "Interrupted. Type the same command to go on."


def test_the_pruner_stops_a_trial_that_falls_behind(bench: Bench) -> None:
    text = budget(4) + "pruner: {name: MedianPruner, args: {n_startup_trials: 2}}\n"
    good, bad = (0.7, 0.8, 0.9), (0.1, 0.2, 0.3)
    bench.search(
        lambda directory: Scripted(directory, values=bad if directory.endswith("3") else good), text=text
    )
    states = [trial.state for trial in bench.open(text).trials()]
    assert states == [TrialState.COMPLETE] * 3 + [TrialState.PRUNED]
    assert bench.steps(3) == [1]
    assert bench.listener.ended[3].cause == "pruned"


def test_a_trial_that_runs_out_of_memory_is_pruned_with_the_gib_it_was_over(bench: Bench) -> None:
    extra = {"needed_bytes": 5 * GIB, "limit_bytes": 4 * GIB}
    bench.search(lambda directory: Scripted(directory, values=(), status="oom", extra=extra), text=budget(1))
    (trial,) = bench.trials()
    assert trial.state == TrialState.PRUNED
    assert trial.user_attrs["cause"] == "oom"
    assert trial.constraints["memory_gib"] == pytest.approx(1.0)


def test_a_loss_that_is_not_finite_is_pruned_and_marked_infeasible(bench: Bench) -> None:
    bench.search(lambda directory: Scripted(directory, status="nonfinite"), text=budget(1))
    (trial,) = bench.trials()
    assert trial.state == TrialState.PRUNED
    assert trial.user_attrs["cause"] == "nonfinite"
    assert trial.constraints["nonfinite"] > 0


def test_a_best_value_that_is_not_finite_is_never_told(bench: Bench) -> None:
    bench.search(lambda directory: Scripted(directory, values=(float("inf"),)), text=budget(1))
    (trial,) = bench.trials()
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values == {}
    assert trial.value is None


def test_after_enough_failures_in_a_row_the_study_stops(bench: Bench) -> None:
    with pytest.raises(TooManyFailures, match=r"3 trials failed in a row.*the encoder has a hole"):
        bench.search(lambda directory: Scripted(directory, after=end_by_exception))
    assert [trial.state for trial in bench.trials()] == [TrialState.FAIL] * 3
    assert "and more lines" in (bench.directory / "trial-0002" / "error.txt").read_text()
    assert bench.trials()[2].user_attrs["error"] == "ValueError: the encoder has a hole"


def test_a_success_in_between_makes_the_count_of_failures_start_again(bench: Bench) -> None:
    def make(directory: str) -> Scripted:
        return Scripted(directory, after=None if directory[-1] in "25" else end_by_exception)

    end = bench.search(make, text=budget(2))
    assert end.trials == {"fail": 4, "complete": 2}


def test_values_that_were_tried_before_are_told_again_and_not_trained_again(bench: Bench) -> None:
    point = "{training.learning_rate: 2.0e-5, model.pooling: cls}"
    other = "{training.learning_rate: 3.0e-5, model.pooling: cls}"
    text = budget(3) + f"enqueue: [{point}, {other}]\n"
    handle = bench.open(text)
    handle.study.enqueue_trial({"training.learning_rate": 2e-5, "model.pooling": "cls"})
    bench.search(Scripted, text=text)
    assert [number for number, _ in bench.listener.started] == [0, 1]
    first, _, again = handle.trials()
    assert again.value == first.value
    assert again.intermediate_values == first.intermediate_values
    assert again.user_attrs["cause"] == "same as trial 0"


def test_known_good_points_come_first_and_are_queued_only_once(bench: Bench) -> None:
    text = budget(1) + "enqueue: [{training.learning_rate: 2.0e-5}, {training.learning_rate: 5.0e-5}]\n"
    bench.search(Scripted, text=text)
    bench.search(Scripted, text=text.replace("trials: 1", "trials: 3"))
    rates = [trial.params["training.learning_rate"] for trial in bench.open(text).trials()]
    assert rates[:2] == [2e-5, 5e-5]
    assert len(rates) == 3
    assert rates[2] not in (2e-5, 5e-5)


def test_a_sampler_that_is_through_with_its_grid_ends_the_search(bench: Bench) -> None:
    rate = "  training.learning_rate: {type: float, low: 1.0e-5, high: 1.0e-3, log: true}\n"
    text = budget(9).replace(rate, "") + "sampler: {name: BruteForceSampler}\n"
    end = bench.search(Scripted, text=text)
    assert end.reason == "exhausted"
    assert sorted(trial.params["model.pooling"] for trial in bench.open(text).trials()) == ["cls", "mean"]


@pytest.mark.slow
def test_an_interrupted_study_suggests_what_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole, parted = Bench(tmp_path / "whole"), Bench(tmp_path / "parted")
    for bench in (whole, parted):
        bench.home.mkdir()
    whole.search(Scripted)
    for trials in (1, 3, 4):
        parted.search(Scripted, text=budget(trials))
    assert [trial.params for trial in parted.trials()] == [trial.params for trial in whole.trials()]


def test_a_job_that_ends_with_no_outcome_is_our_own_fault(bench: Bench) -> None:
    place = Workplace(
        bench.directory,
        InlineEngine(),
        bench.listener,
        make_job=lambda _config, directory, _seat: Odd(directory),
    )
    with pytest.raises(TypeError, match="no Outcome"):
        search(open_study(bench.space(), storage_url=bench.url), workplace=place)


@dataclass(frozen=True)
class Odd:
    """Ends with no Outcome."""

    directory: str

    def run(self, observer: Observer, report: Report) -> Found:
        """Find nothing."""
        return Found([])
