from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.config.schema import Scheduler, TrainingConfig
from trainer.schedule import build_schedule, rate_factor

SHAPES: list[Scheduler] = ["cosine", "linear", "polynomial", "constant"]


def factors(shape: Scheduler, *, total: int = 100, warmup: int = 10) -> list[float]:
    return [rate_factor(step, total=total, warmup=warmup, shape=shape) for step in range(total)]


@given(st.integers(1, 300), st.floats(0, 1), st.sampled_from(SHAPES))
def test_the_rate_is_above_zero_at_every_step_and_never_above_the_peak(
    total: int, ratio: float, shape: Scheduler
) -> None:
    rates = factors(shape, total=total, warmup=round(total * ratio))
    assert all(0.0 < rate <= 1.0 for rate in rates)
    assert max(rates) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_warmup_is_a_straight_line_that_starts_above_zero(shape: Scheduler) -> None:
    assert factors(shape)[:10] == pytest.approx([0.1 * step for step in range(1, 11)])


@pytest.mark.parametrize("shape", ["cosine", "linear", "polynomial"])
def test_after_warmup_the_rate_falls_to_nearly_nothing(shape: Scheduler) -> None:
    after = factors(shape)[10:]
    assert after == sorted(after, reverse=True)
    assert after[-1] < 0.02


def test_shapes_differ_half_way_as_their_formulas_say() -> None:
    half = {shape: factors(shape)[55] for shape in SHAPES}
    assert half == pytest.approx({"cosine": 0.5, "linear": 0.5, "polynomial": 0.25, "constant": 1.0})
    quarter = factors("cosine")[10 + 30]
    assert quarter == pytest.approx(0.75)


def test_the_optimizer_gets_every_rate_in_turn() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=2.0)
    training = TrainingConfig(lr_scheduler="linear", warmup_ratio=0.5)
    schedule = build_schedule(optimizer, training, total_steps=4)
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([1.0, 2.0, 2.0, 1.0])
