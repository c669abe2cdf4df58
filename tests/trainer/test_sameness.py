from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.trainer.runs import Watcher, make_config
from trainer.config.schema import TrainingConfig
from trainer.metrics import Scores, TaskScores
from trainer.runner import run
from trainer.sameness import Sameness, only_class


def task(confusion: list[list[int]]) -> TaskScores:
    return TaskScores("toxicity", ("none", "toxic"), np.array(confusion))


SAME, APART = Scores((task([[5, 0], [4, 0]]),), (1.0,)), Scores((task([[5, 0], [3, 1]]),), (1.0,))


def test_one_class_for_all_is_seen_only_where_the_labels_are_of_several() -> None:
    assert only_class(task([[5, 0], [4, 0]])) == "none"
    assert only_class(task([[0, 5], [0, 4]])) == "toxic"
    assert only_class(task([[5, 0], [3, 1]])) is None
    assert only_class(task([[5, 0], [0, 0]])) is None
    assert only_class(task([[0, 0], [0, 0]])) is None


def test_the_hint_waits_for_a_second_evaluation_in_a_row_and_is_given_once() -> None:
    sameness = Sameness(TrainingConfig(learning_rate=1e-7))
    found = [sameness.hint(scores, step=9, last=False) for scores in (SAME, APART, SAME, SAME, SAME)]
    assert [line is not None for line in found] == [False, False, False, True, False]
    assert "is called 'none' (toxicity): 9 steps told nothing apart" in str(found[3])
    assert "it is 1e-07" in str(found[3])


def test_the_last_evaluation_needs_no_second() -> None:
    assert Sameness(TrainingConfig()).hint(SAME, step=9, last=True)
    assert Sameness(TrainingConfig()).hint(APART, step=9, last=True) is None


def test_a_run_that_learns_nothing_says_so_in_one_line(tmp_path: Path) -> None:
    watcher = Watcher()
    config = make_config(tmp_path, training__learning_rate=1e-9, training__num_epochs=3)
    run(config, directory=tmp_path / "run", observer=watcher)
    assert [line.split(":")[0] for line in watcher.lines if "is called" in line] == ["Warning"]
