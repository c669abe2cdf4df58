"""Plans: monotone, cached, and lawful in the rows of the micro-batch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cases import quick
from tests.trainer.memory.encoders import small_request
from trainer.config.schema import Config, ModelConfig, TrainingConfig
from trainer.data.tasks import Task
from trainer.memory.card import CardSpec, parse_card
from trainer.memory.plan import LAW_ROWS, MIB, Plan, Planner, plan
from trainer.memory.plan_cache import PlanCache
from trainer.memory.rehearsal import rehearse
from trainer.memory.request import Attention, PlanRequest, PrecisionName, Software, on_card, request_for
from trainer.memory.trace import NotAffine, RowLaw


def test_what_tensors_hold_is_the_floor_of_what_is_reserved() -> None:
    found = plan(small_request())
    assert found.fixed_bytes < found.tensor_peak_bytes
    assert found.tensor_peak_bytes <= found.allocated_bytes <= found.flushed_bytes <= found.peak_bytes
    assert found.peak_bytes < found.needed_bytes
    assert found.device_bytes(350 * MIB) == found.peak_bytes + 350 * MIB


def made(*, peak: int) -> Plan:
    """A plan of plain numbers, in MiB."""
    tensors, weights, gradients, optimizer = 90, 3, 5, 16
    sizes = (tensors, 100, 110, peak, weights, gradients, optimizer)
    return Plan(*(size * MIB for size in sizes))


def test_what_does_not_grow_is_weights_gradients_and_the_optimizer_s_state() -> None:
    assert made(peak=120).fixed_bytes == (3 + 5 + 16) * MIB


@pytest.mark.parametrize(("peak", "margin"), [(120, 150), (3000, 150), (4000, 200), (10_000, 500)])
def test_the_margin_is_five_percent_and_at_least_150_mib(peak: int, margin: int) -> None:
    assert made(peak=peak).needed_bytes == (peak + margin) * MIB


@pytest.mark.parametrize(("virtual", "least"), [(True, 90), (False, 4200)])
def test_a_virtual_card_has_to_hold_the_tensors_and_a_real_one_the_reserve_and_its_margin(
    virtual: bool, least: int
) -> None:
    needs = made(peak=4000)
    assert needs.fits(CardSpec("just", least * MIB, virtual=virtual))
    assert not needs.fits(CardSpec("short", least * MIB - 1, virtual=virtual))


def test_what_a_law_gives_is_not_traced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    planner, request = Planner(), small_request()
    assert planner.law(request) is not None

    def traced(*_: object, **__: object) -> None:
        raise AssertionError("a step was traced")

    monkeypatch.setattr("trainer.memory.plan._rehearse", traced)
    for rows in (LAW_ROWS[0], 7, 64):
        planner.plan(replace(request, rows=rows))
    with pytest.raises(AssertionError, match="a step was traced"):
        planner.plan(replace(request, rows=1))  # below what the law was made from


def test_few_sizes_are_traced_one_by_one_and_many_by_a_law(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[PlanRequest] = []
    traced: list[int] = []
    monkeypatch.setattr(Planner, "law", lambda _self, request: asked.append(request))
    monkeypatch.setattr(Planner, "plan", lambda _self, request: traced.append(request.rows))
    Planner().plans(small_request(), rows=(1, 2, 3, 4))
    assert (asked, traced) == ([], [1, 2, 3, 4])
    Planner().plans(small_request(), rows=(2, 3, 4, 5))
    assert len(asked) == 1


@pytest.mark.slow
def test_more_rows_and_longer_texts_never_take_less() -> None:
    planner = Planner()
    by_rows = [planner.plan(small_request(rows=rows)).tensor_peak_bytes for rows in (1, 2, 4, 8, 16, 64)]
    by_length = [planner.plan(small_request(length=length)).tensor_peak_bytes for length in (8, 16, 64, 256)]
    assert by_rows == sorted(by_rows)
    assert by_length == sorted(by_length)


@pytest.mark.slow
@pytest.mark.parametrize("occurring", [None, 256])
def test_a_law_from_three_traces_is_exact_for_every_other(occurring: int | None) -> None:
    request = replace(small_request(), precision="fp16", accumulated=True, occurring=occurring)
    planner = Planner()
    found = planner.plans(request, rows=(1, 2, 7, 33, 64, 200))
    assert planner.law(request) is not None
    for rows in (1, 7, 64):
        assert found[rows] == plan(replace(request, rows=rows))


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_law_of_another_length_needs_one_trace_and_is_exact(
    checkpointing: bool, precision: PrecisionName, attention: Attention
) -> None:
    short = replace(
        small_request(length=32),
        checkpointing=checkpointing,
        precision=precision,
        attention=attention,
        accumulated=True,
    )
    planner = Planner()
    planner.law(short)
    long = replace(short, length=50)  # not a whole number of any alignment
    law = planner.law(long)
    assert law is not None
    assert law.trace(7) == rehearse(replace(long, rows=7))


def test_a_step_that_is_another_at_another_length_is_found_out() -> None:
    law = RowLaw({rows: rehearse(small_request(rows)) for rows in (2, 3, 5)})
    other = rehearse(replace(small_request(2, length=64), checkpointing=True))
    with pytest.raises(NotAffine):
        law.at_another_length(other)


def test_traces_that_follow_no_law_are_found_out() -> None:
    traces = {rows: rehearse(small_request(rows=rows)) for rows in (2, 3)}
    other = rehearse(small_request(rows=5, length=64))
    with pytest.raises(NotAffine, match="5 rows"):
        RowLaw({**traces, 5: other})
    longer = rehearse(replace(small_request(rows=5), checkpointing=True))
    with pytest.raises(NotAffine):
        RowLaw({2: traces[2], 3: longer, 5: longer})


@pytest.mark.parametrize("virtual", quick(False, others=[True]))
def test_the_largest_micro_batch_fits_and_the_next_does_not(virtual: bool) -> None:
    planner, request = Planner(), small_request(length=64)
    card = CardSpec("test", 400 * MIB, virtual=virtual)
    rows = planner.largest_rows(request, card=card)
    assert planner.plan(replace(request, rows=rows)).fits(card)
    assert not planner.plan(replace(request, rows=rows + 1)).fits(card)


def test_where_not_even_one_row_fits_the_largest_micro_batch_is_none() -> None:
    assert Planner().largest_rows(small_request(), card=CardSpec("test", MIB)) == 0


def test_a_configuration_is_planned_as_it_would_be_trained() -> None:
    model = ModelConfig(name="builtin:tiny", max_sequence_length=64, pooling="mean", dropout_rate=0.2)
    training = TrainingConfig(batch_size=4, gradient_accumulation_steps=2)
    config = Config(model=model, training=training)
    tasks = [Task("a", ("x", "y"), 1.0), Task("b", ("x", "y", "z"), 1.0)]
    request = request_for(config, tasks=tasks, vocabulary_size=500)
    assert (request.rows, request.length, request.sizes, request.accumulated) == (4, 64, (2, 3), True)
    assert (request.precision, request.optimizer, request.pooling) == ("fp16", "adamw_fused", "mean")
    assert json.loads(request.encoder)["hidden_dropout_prob"] == 0.1  # any dropout is one
    assert request_for(config, tasks=tasks, vocabulary_size=500, cuda=False).precision == "fp32"
    assert plan(request).tensor_peak_bytes > 0


def test_workspaces_are_reserved_where_the_software_has_them() -> None:
    request = small_request()
    without = plan(replace(request, software=Software(workspace_bytes=0)))
    found = plan(request)
    assert found.tensor_peak_bytes == without.tensor_peak_bytes
    assert found.allocated_bytes == without.allocated_bytes + 2 * Software().workspace_bytes


def test_a_plan_is_made_once_and_kept(tmp_path: Path) -> None:
    request = small_request()
    found = Planner(PlanCache(tmp_path)).plan(request)
    assert PlanCache(tmp_path).get(request) == found
    assert PlanCache(tmp_path).get(replace(request, rows=5)) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"plan": {"peak": 1}}', '{"plan": 3}'])
def test_a_torn_cache_file_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    request, cache = small_request(), PlanCache(tmp_path)
    cache.put(request, Plan(1, 2, 3, 4, 5, 6, 7))
    (file,) = tmp_path.iterdir()
    file.write_text(content)
    assert cache.get(request) is None


@pytest.mark.parametrize(
    "change",
    [
        {"length": 33},
        {"precision": "bf16"},
        {"accumulated": True},
        {"trained_layers": 1},
        {"occurring": 256},
        {"software": Software(expandable=True)},
    ],
)
def test_plans_of_different_requests_do_not_meet(tmp_path: Path, change: dict[str, object]) -> None:
    request, cache = small_request(), PlanCache(tmp_path)
    cache.put(request, Plan(1, 2, 3, 4, 5, 6, 7))
    other: PlanRequest = replace(request, **change)  # type: ignore[arg-type]  # one field at a time
    assert cache.get(other) is None


def test_a_hopper_card_has_larger_workspaces_and_a_virtual_one_none() -> None:
    request = small_request()
    small, large = (
        on_card(request, parse_card(name)).software.workspace_bytes for name in ("a100-80", "h100-80")
    )
    assert (small, large) == (8_519_680, 32 * MIB)
    assert on_card(request, CardSpec("v", MIB, virtual=True)).software.workspace_bytes == 0
