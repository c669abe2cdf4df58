"""Candidates by their means over fresh seeds: intervals, ties, luck."""

from __future__ import annotations

import pytest

from search.finish.confirmation import Candidate, ConfirmRun
from search.finish.rank import ranked

SEEDS = [1043, 1044, 1045]


def candidate(
    trial: int,
    search_value: float,
    values: list[float | None],
    *,
    peak: int | None = None,
    seconds: float = 10,
) -> Candidate:
    runs = [
        ConfirmRun(
            trial,
            seed,
            "completed" if value is not None else "oom",
            "x",
            value=value,
            seconds=seconds,
            predicted_peak_bytes=peak,
        )
        for seed, value in zip(SEEDS, values, strict=False)
    ]
    return Candidate(trial, {}, search_value, runs)


def test_the_mean_decides_and_luck_is_what_the_search_saw_beyond_it() -> None:
    found = ranked(
        [candidate(3, 0.90, [0.80, 0.80, 0.80]), candidate(5, 0.85, [0.84, 0.84, 0.84])], seeds=SEEDS
    )
    assert [one.trial for one in found.candidates] == [5, 3]
    assert found.chosen == 5
    assert found.luck == pytest.approx(0.10)
    assert found.candidates[0].luck == pytest.approx(0.01)


def test_the_interval_is_students_with_the_pooled_deviation() -> None:
    found = ranked(
        [candidate(0, 0.8, [0.79, 0.80, 0.81]), candidate(1, 0.8, [0.69, 0.70, 0.71])], seeds=SEEDS
    )
    mean = found.candidates[0].mean
    assert mean is not None
    assert mean.low is not None
    # t(0.975, 4 degrees of freedom) = 2.776 (tables), times 0.01 / sqrt(3)
    assert mean.value - mean.low == pytest.approx(2.776 * 0.01 / 3**0.5, abs=1e-5)
    assert "df = 4" in mean.method
    assert found.candidates[0].deviation == pytest.approx(0.01)


def test_a_difference_within_noise_is_a_tie_and_the_cheaper_is_pointed_out() -> None:
    found = ranked(
        [
            candidate(0, 0.8, [0.79, 0.80, 0.81], peak=3000 * 2**20),
            candidate(1, 0.8, [0.785, 0.795, 0.805], peak=1500 * 2**20),
            candidate(2, 0.8, [0.60, 0.61, 0.62], peak=100 * 2**20),
        ],
        seeds=SEEDS,
    )
    assert [(one.trial, one.tied) for one in found.candidates] == [(0, False), (1, True), (2, False)]
    assert found.chosen == 0
    assert found.cheaper == 1
    assert found.cheaper_reason == "planned peak 1500 in place of 3000 MiB"


def test_without_a_plan_the_quicker_of_equals_is_the_cheaper() -> None:
    slow, quick = candidate(0, 0.8, [0.79, 0.81], seconds=40), candidate(1, 0.8, [0.785, 0.80], seconds=20)
    found = ranked([slow, quick], seeds=SEEDS[:2])
    assert (found.cheaper, found.cheaper_reason) == (1, "20 s a run in place of 40 s")


def test_one_seed_tells_nothing_of_noise_and_calls_no_tie() -> None:
    found = ranked([candidate(0, 0.8, [0.80]), candidate(1, 0.8, [0.80])], seeds=SEEDS[:1])
    assert not any(one.tied for one in found.candidates)
    assert found.candidates[0].mean is not None
    assert found.candidates[0].mean.low is None
    assert "one seed" in found.tie_rule


def test_a_candidate_none_of_whose_runs_completed_comes_last_and_is_not_chosen() -> None:
    found = ranked([candidate(0, 0.9, [None, None]), candidate(1, 0.8, [0.7, 0.8])], seeds=SEEDS[:2])
    assert found.chosen == 1
    assert found.luck is None
