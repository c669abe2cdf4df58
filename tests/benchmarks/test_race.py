"""The race's logs are read as they were written, and its summary says who was sooner."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.race.log import Course, Log
from benchmarks.race.rules import Rules
from benchmarks.race.summary import show


def course(*evaluations: tuple[float, float], ends: tuple[str, ...] = ()) -> Course:
    return Course(evaluations, ends, 0)


def test_a_log_is_read_as_it_was_written_but_for_a_torn_last_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = Log(path, started=0.0)
    for trial, f1 in ((0, 0.5), (1, 0.7), (2, 0.6)):
        log.evaluated(trial, f1)
    log.ended(0, "finished")
    log.ended(3, "oom")
    with path.open("a", encoding="utf-8") as stream:
        stream.write('{"seconds": 12.0, "tri')
    found = Course.read(path)
    assert [f1 for _, f1 in found.evaluations] == [0.5, 0.7, 0.6]
    assert sorted(found.ends) == ["finished", "oom"]
    assert found.open == 2


def test_a_contender_that_wrote_nothing_reached_nothing(tmp_path: Path) -> None:
    found = Course.read(tmp_path / "log.jsonl")
    assert (found.reached(0.1), found.best(100), found.last_s) == (None, None, 0.0)


def test_the_first_evaluation_at_a_target_counts_and_none_after_the_time() -> None:
    found = course((10, 0.6), (20, 0.8), (30, 0.9))
    assert (found.reached(0.8), found.reached(0.95)) == (20, None)
    assert (found.best(5), found.best(25)) == (None, 0.8)


def test_the_summary_says_who_was_sooner_and_compares_at_equal_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = [course((10, 0.8), ends=("finished",)), course((20, 0.8), (40, 0.9), ends=("finished", "pruned"))]
    theirs = [course((30, 0.8)), course((40, 0.85), ends=("oom",))]
    show({"ours": ours, "theirs": theirs}, targets=[0.8, 0.9], seconds=60)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "theirs 35 (30-40) ours 2.50 (2.00-3.00) times as soon" in lines
    assert "ours in 1 of 2 starts" in lines
    assert "best macro-F1 after 10 s at the end" in lines
    assert "ours 2 finished, 1 pruned" in lines
    assert "theirs 1 oom" in lines


def test_who_never_got_there_counts_as_a_bound_and_a_start_of_which_nothing_is_known_not_at_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = [course((10, 0.8)), course((20, 0.8)), course((50, 0.7)), course((50, 0.7)), course((30, 0.8))]
    theirs = [course((60, 0.7)), course((30, 0.8)), course((20, 0.8)), course((60, 0.7)), course((90, 0.8))]
    show({"ours": ours, "theirs": theirs}, targets=[0.8], seconds=60)
    assert "ours 2.25 (≤0.40-≥6.00) times as soon" in " ".join(capsys.readouterr().out.split())
    show({"ours": ours[:1], "theirs": theirs[:1]}, targets=[0.8], seconds=60)
    assert "ours ≥6.00 (≥6.00-≥6.00) times as soon" in " ".join(capsys.readouterr().out.split())
    show({"ours": ours[2:3], "theirs": theirs[2:3]}, targets=[0.8], seconds=60)
    assert "ours ≤0.40 (≤0.40-≤0.40) times as soon" in " ".join(capsys.readouterr().out.split())


def test_rules_survive_the_command_line() -> None:
    rules = Rules("m", "d", "o", 1, 2, 60.0, 4, 2, 2, 128, started=5.5, card="4GiB")
    assert Rules.load(rules.dump()) == rules
    assert rules.parallel == 1
