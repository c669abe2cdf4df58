"""The simulated fleet behaves like a fleet, and the costs it runs on are measured on real parts."""

from __future__ import annotations

import pytest
from optuna.storages import InMemoryStorage

from benchmarks.scale.costs import measure
from benchmarks.scale.fleet import Fleet, curve, simulate
from search.space import load_space


def instant(_size: int) -> float:
    return 0.0


def a_tenth(_size: int) -> float:
    return 0.1


def test_ten_workers_take_a_tenth_of_the_time() -> None:
    one, ten = (
        simulate(Fleet(workers, 600.0, 0.0), trials=2000, sampler=instant, storage=instant)
        for workers in (1, 10)
    )
    assert ten.hours == pytest.approx(one.hours / 10, rel=0.02)
    assert one.training == pytest.approx(1.0)


def test_a_storage_that_all_wait_for_bounds_the_pace() -> None:
    # 0.1 s each, one at a time: no more than 10 trials in a second, however many workers
    account = simulate(Fleet(1000, 1.0, 0.0), trials=5000, sampler=instant, storage=a_tenth)
    assert account.hours * 3600 >= 500
    assert account.busy == pytest.approx(1.0, abs=0.02)
    assert account.waiting > 0.8  # the rest is the way in and out


def test_nodes_that_fail_cost_time_and_no_trial() -> None:
    calm, stormy = (
        simulate(Fleet(10, 3600.0, rate), trials=2000, sampler=instant, storage=instant)
        for rate in (0.0, 12.0)
    )
    assert calm.retried == 0
    assert stormy.retried > 500
    assert stormy.hours > calm.hours


def test_a_cost_goes_on_by_its_last_slope() -> None:
    at = curve([(10, 1.0), (20, 2.0)])
    assert [at(5), at(10), at(15), at(40)] == [1.0, 1.0, 1.5, 4.0]


def test_a_storage_whose_last_slope_falls_is_not_taken_to_cost_nothing_some_day() -> None:
    points = [(10, 2.0), (20, 1.0)]
    assert curve(points)(30) == 0.0
    at = curve(points, falls=False)
    assert [at(5), at(15), at(30), at(100_000)] == [2.0, 1.5, 1.0, 1.0]
    rising = curve([(10, 1.0), (20, 2.0)], falls=False)
    assert rising(40) == 4.0


def test_costs_are_measured_at_every_size_asked_for() -> None:
    costs = list(measure(load_space("rtx3050"), InMemoryStorage(), sizes=[10, 30], repeats=1))
    assert [cost.trials for cost in costs] == [10, 30]
    assert all(cost.suggest > 0 and cost.whole > cost.suggest for cost in costs)


def test_a_sampler_that_all_share_bounds_the_pace_and_one_of_their_own_does_not() -> None:
    own, shared = (
        simulate(Fleet(1000, 1.0, 0.0, one_sampler), trials=5000, sampler=a_tenth, storage=instant)
        for one_sampler in (False, True)
    )
    assert own.hours * 3600 < 50
    assert shared.hours * 3600 >= 500
    assert shared.busy == pytest.approx(1.0, abs=0.02)
