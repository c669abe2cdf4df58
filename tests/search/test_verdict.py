"""How the end of a run reads in a study."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from optuna.trial import TrialState, create_trial

from search.verdict import CUT, FINITE, MEMORY, as_outcome, judge, repeat, told_halvings, told_measures
from trainer import Outcome
from trainer.outcome import Status

GIB = 2**30
BEST = {"eval_f1_macro": 0.8}


def test_a_completed_run_is_told_its_best_value_and_the_room_it_left() -> None:
    outcome = Outcome(
        "completed", "d", best_metrics=BEST, measured_peak_bytes=3 * GIB, limit_bytes=4 * GIB, seconds=12.34
    )
    verdict = judge(outcome)
    assert (verdict.state, verdict.value, verdict.cause) == (TrialState.COMPLETE, 0.8, None)
    assert verdict.constraints == {MEMORY: -1.0, FINITE: 0.0}
    assert verdict.attributes() == {"seconds": 12.3, "peak_gib": 3.0}


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_no_number_is_never_told(value: float | None) -> None:
    metrics = {} if value is None else {"eval_f1_macro": value}
    verdict = judge(Outcome("completed", "d", best_metrics=metrics))
    assert (verdict.state, verdict.value, verdict.cause) == (TrialState.PRUNED, None, "nonfinite")


def test_memory_is_violated_by_the_gib_over_the_limit() -> None:
    over = [
        judge(Outcome("oom", "d", needed_bytes=needed * GIB, limit_bytes=4 * GIB)).constraints[MEMORY]
        for needed in (5, 6)
    ]
    assert over == [1.0, 2.0]


def test_memory_is_violated_even_if_the_run_could_not_say_by_how_much() -> None:
    assert judge(Outcome("oom", "d")).constraints[MEMORY] > 0
    assert judge(Outcome("oom", "d", needed_bytes=1, limit_bytes=4 * GIB)).constraints[MEMORY] > 0


def test_the_sooner_a_loss_diverges_the_more_it_violates() -> None:
    at_once, later = (
        judge(Outcome("nonfinite", "d", best_step=step)).constraints[FINITE] for step in (None, 3)
    )
    assert at_once > later > 0


def test_every_told_trial_has_the_same_constraints() -> None:
    statuses: tuple[Status, ...] = ("completed", "stopped", "oom", "nonfinite")
    names = {tuple(judge(Outcome(status, "d", best_metrics=BEST)).constraints) for status in statuses}
    assert names == {(MEMORY, FINITE)}


def test_a_failure_is_a_fail_with_one_short_line() -> None:
    verdict = judge(Outcome("failed", "d", error="x" * 500, error_kind="crash"))
    assert (verdict.state, verdict.cause) == (TrialState.FAIL, "failed")
    assert verdict.constraints == {}
    assert len(verdict.attributes()["error"]) == 120


def test_a_lost_worker_is_named_as_such() -> None:
    assert judge(Outcome("failed", "d", error="gone", error_kind="lost")).cause == "worker_lost"


def test_an_interrupted_run_has_not_ended() -> None:
    with pytest.raises(ValueError, match="has not ended"):
        judge(Outcome("interrupted", "d"))


def test_only_a_trial_that_taught_something_is_repeated() -> None:
    complete = create_trial(state=TrialState.COMPLETE, value=0.5, intermediate_values={1: 0.4})
    again = repeat(complete)
    assert again is not None
    assert (again.state, again.value, again.intermediate) == (TrialState.COMPLETE, 0.5, {1: 0.4})
    pruned = repeat(create_trial(state=TrialState.PRUNED, intermediate_values={1: 0.4}))
    assert pruned is not None
    assert (pruned.state, pruned.value) == (TrialState.PRUNED, None)
    assert repeat(create_trial(state=TrialState.FAIL)) is None


def test_an_outcome_survives_json_and_keys_of_a_newer_version_do_not_hurt() -> None:
    outcome = Outcome("completed", "d", best_metrics=BEST)
    assert as_outcome({**asdict(outcome), "novelty": 1}) == outcome
    assert as_outcome({"status": "completed"}) is None
    assert as_outcome({"status": "splendid", "directory": "d"}) is None
    assert as_outcome(None) is None


MEASURES = ["fp16 off -> on (a card of 4.00 GiB)", "smaller micro-batches from step 1"]


def test_measures_and_halvings_are_kept_in_a_line_each_that_is_short_enough_for_a_column() -> None:
    events = [{"where": f"step {n}", "from_tokens": 64 // n, "to_tokens": 32 // n} for n in (1, 2)]
    kept = judge(Outcome("completed", "d", measures=MEASURES, oom_events=events)).attributes()
    assert kept["measures"] == "fp16 off -> on; smaller micro-batches from step 1"
    assert kept["oom_events"] == "step 1: 64 to 32 tokens; step 2: 32 to 16 tokens"
    many = judge(Outcome("completed", "d", oom_events=events * 20)).attributes()["oom_events"]
    assert (len(many), many[-1]) == (120, "…")
    assert "measures" not in judge(Outcome("completed", "d")).attributes()


def test_what_was_told_of_measures_and_halvings_is_read_back() -> None:
    events = [{"where": f"step {n}", "from_tokens": 64 // n, "to_tokens": 32 // n} for n in (1, 2)]
    kept = judge(Outcome("completed", "d", measures=MEASURES, oom_events=events)).attributes()
    assert told_measures(kept) == ("fp16 off -> on", "smaller micro-batches from step 1")
    assert told_halvings(kept) == tuple(events)
    assert (told_measures({}), told_halvings({})) == ((), ())


def test_of_halvings_that_were_cut_off_the_whole_ones_are_read_back_and_that_there_were_more() -> None:
    events = [{"where": f"step {n}", "from_tokens": 64, "to_tokens": 32} for n in range(1, 20)]
    *whole, last = told_halvings(judge(Outcome("completed", "d", oom_events=events)).attributes())
    assert whole == events[: len(whole)]
    assert 0 < len(whole) < len(events)
    assert last == {"where": CUT}


def test_a_card_passed_by_bytes_is_violated_less_than_one_passed_by_more() -> None:
    over = [
        judge(Outcome("oom", "d", needed_bytes=4 * GIB + passed, limit_bytes=4 * GIB)).constraints[MEMORY]
        for passed in (0, 1, 2**10, 2**20)
    ]
    assert over == [1 / GIB, 1 / GIB, 2**10 / GIB, 2**20 / GIB]
