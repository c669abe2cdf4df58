"""What is known of a trial wherever its directory lies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState, create_trial

from search.board.notes import trial_note
from search.report.gather import trial_facts
from search.verdict import judge
from trainer import Outcome

MIB = 2**20


def test_of_a_trial_on_another_machine_measures_and_halvings_are_what_the_storage_was_told(
    tmp_path: Path,
) -> None:
    events = [{"where": f"step {n}", "from_tokens": 2048, "to_tokens": 1024} for n in range(1, 3)]
    measures = ["micro-batch 16 -> 8 (to fit the card)", "smaller micro-batches from step 1"]
    facts = trial_facts(_told(Outcome("completed", "d", measures=measures, oom_events=events)), tmp_path)
    assert facts.directory is None
    assert facts.measures == ("micro-batch 16 -> 8", "smaller micro-batches from step 1")
    assert facts.oom_events == tuple(events)
    note = trial_note(facts)
    assert "- measures: micro-batch 16 -> 8; smaller micro-batches from step 1\n" in note
    assert "- out of memory 2 times, each time done again smaller\n" in note


def test_where_the_storage_has_not_room_for_all_halvings_it_is_said_that_there_were_more(
    tmp_path: Path,
) -> None:
    events = [{"where": f"step {n}", "from_tokens": 2048, "to_tokens": 1024} for n in range(1, 20)]
    facts = trial_facts(_told(Outcome("completed", "d", oom_events=events)), tmp_path)
    assert len(facts.oom_events) < len(events)
    assert f"- out of memory at least {len(facts.oom_events)} times," in trial_note(facts)


def _told(outcome: Outcome) -> FrozenTrial:
    """A trial that its worker has told the storage of."""
    known = replace(outcome, best_metrics={"eval_f1_macro": 0.8}, measured_peak_bytes=900 * MIB)
    return create_trial(state=TrialState.COMPLETE, value=0.8, user_attrs=judge(known).attributes())
