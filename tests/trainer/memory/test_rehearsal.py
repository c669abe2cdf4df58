"""The fake step: equal to the byte to the same step over real tensors, on the CPU's terms."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from operator import eq
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from tests.cases import quick
from tests.trainer.memory.encoders import bert, small_request
from trainer.data.batches import Batch
from trainer.data.tasks import Task
from trainer.loss import MultiTaskLoss
from trainer.memory.meter import LiveMeter
from trainer.memory.planned_optimizer import build_planned_optimizer
from trainer.memory.rehearsal import measure, rehearse, rehearse_rows
from trainer.memory.request import OptimizerKind, PlanRequest, PrecisionName, Software
from trainer.model.build import checkpoint_layers
from trainer.model.classifier import Classifier
from trainer.model.layers import freeze
from trainer.model.vocabulary import train_occurring_tokens
from trainer.optimizer import prime
from trainer.step import Precision, TrainStep

HOST = Software(cuda=False)


def measured_peak(request: PlanRequest) -> int:
    """The same step over real tensors on the CPU; one padded token, so that there is a mask."""
    net = AutoModelForSequenceClassification.from_config(bert(), attn_implementation=request.attention)
    checkpoint_layers(net, request.checkpointing)
    freeze(net, trained_layers=request.trained_layers)
    if request.occurring is not None:
        train_occurring_tokens(net, [np.arange(request.occurring)])
    model = Classifier(net, sizes=request.sizes, pooling=request.pooling).train()
    dtype = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}[request.precision]
    with LiveMeter() as meter:
        meter.count([*model.parameters(), *model.buffers()])
        loss = MultiTaskLoss([Task("labels", ("a", "b"), 1.0)], weights=[[1.0, 1.0]], label_smoothing=0.0)
        optimizer = build_planned_optimizer(model, request.optimizer, host=meter.host)
        prime(optimizer)
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        step = TrainStep(model, loss, optimizer, scaler, Precision("cpu", dtype), 1.0)
        step.gradients([real_batch(request) for _ in range(2 if request.accumulated else 1)], [1.0])
        step.update()
        peak: int = meter.peak_bytes
    return peak


def real_batch(request: PlanRequest) -> Batch:
    ids_BL = torch.ones(request.rows, request.length, dtype=torch.int64)
    mask_BL = torch.ones_like(ids_BL)
    mask_BL[0, -1] = 0
    return Batch(ids_BL, mask_BL, torch.zeros(request.rows, 1, dtype=torch.int64))


def ways_to_compute() -> list[Any]:
    """Every combination; the quick ones, an even number of changes, have every three settings together."""
    ways: list[Any] = list(product(["fp32", "bf16"], ["sdpa", "eager"], [False, True], [False, True]))
    return [
        way if sum(map(eq, way, ways[0])) % 2 == 0 else pytest.param(*way, marks=pytest.mark.slow)
        for way in ways
    ]


@pytest.mark.parametrize(("precision", "attention", "checkpointing", "accumulated"), ways_to_compute())
def test_the_planned_peak_is_what_real_tensors_hold(
    precision: PrecisionName, attention: str, checkpointing: bool, accumulated: bool
) -> None:
    request = replace(
        small_request(rows=16, length=64),
        precision=precision,
        attention="eager" if attention == "eager" else "sdpa",
        checkpointing=checkpointing,
        accumulated=accumulated,
        software=HOST,
    )
    assert rehearse(request).peak_bytes == measured_peak(request)


@pytest.mark.parametrize(
    "optimizer",
    [
        *("adamw_foreach", "adafactor"),
        *quick("adamw_offload", others=["adamw_fused", "adamw_loop", "adafactor_offload"]),
    ],
)
def test_every_real_optimizer_is_planned_as_it_runs(optimizer: OptimizerKind) -> None:
    request = replace(small_request(rows=2, length=16), optimizer=optimizer, software=HOST)
    assert rehearse(request).peak_bytes == measured_peak(request)


@pytest.mark.parametrize("trained", [0, 1])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_frozen_layers_are_planned_as_they_run_and_take_less(trained: int, checkpointing: bool) -> None:
    whole = replace(small_request(rows=16, length=64), checkpointing=checkpointing, software=HOST)
    frozen = replace(whole, trained_layers=trained)
    found, more = rehearse(frozen), rehearse(whole)
    assert found.peak_bytes == measured_peak(frozen)
    assert found.gradients_bytes < more.gradients_bytes
    assert found.peak_bytes < more.peak_bytes


@pytest.mark.parametrize("optimizer", quick("adamw_fused", others=["adamw_offload"]))
def test_rows_of_tokens_that_occur_are_planned_as_they_run_and_the_others_not(
    optimizer: OptimizerKind,
) -> None:
    whole = replace(small_request(rows=16, length=64), optimizer=optimizer, accumulated=True, software=HOST)
    rows = replace(whole, occurring=300)
    found, more = rehearse(rows), rehearse(whole)
    assert found.peak_bytes == measured_peak(rows)
    others = (
        (1000 - 300) * 128 * 4
    )  # of weights and of gradients; what tells where a row is are 8 bytes a token
    assert more.weights_bytes - found.weights_bytes == pytest.approx(others - 8 * 1000, abs=512)
    assert more.gradients_bytes - found.gradients_bytes == others


def test_the_fake_step_allocates_and_frees_what_the_real_one_does() -> None:
    request = replace(small_request(), software=HOST)
    assert rehearse(request).peak_bytes == measure(request).peak_bytes


def test_two_rehearsals_give_the_same_trace() -> None:
    request = replace(small_request(), precision="fp16", checkpointing=True, accumulated=True)
    assert rehearse(request) == rehearse(request)


@pytest.mark.parametrize("primed", quick(True, others=[False]))
def test_steps_rehearsed_with_one_model_are_as_if_each_had_its_own(primed: bool) -> None:
    request = replace(small_request(), software=Software(primed=primed))
    found = rehearse_rows(request, rows=(3, 2, 7))
    assert found == {rows: rehearse(replace(request, rows=rows)) for rows in (3, 2, 7)}


def test_what_a_step_allocates_it_frees() -> None:
    trace = rehearse(small_request())
    held: dict[int, int] = {}
    for number, size in (*trace.forward, *trace.backward):
        held[number] = held.get(number, 0) + size
    assert not any(held.values())


def test_weights_gradients_and_state_are_told_apart() -> None:
    trace = rehearse(small_request())
    assert trace.gradients_bytes == pytest.approx(trace.weights_bytes, rel=0.01)
    assert trace.optimizer_bytes == pytest.approx(2 * trace.weights_bytes, rel=0.02)


def test_gradients_that_stay_alive_during_forward_cost_a_copy_of_the_weights() -> None:
    plain = rehearse(small_request(rows=64, length=64))
    accumulated = rehearse(replace(small_request(rows=64, length=64), accumulated=True))
    more = accumulated.peak_bytes - plain.peak_bytes
    assert more == pytest.approx(plain.gradients_bytes, rel=0.05)


def test_gradients_zeroed_instead_of_dropped_cost_as_much_as_accumulating() -> None:
    request = small_request(rows=64, length=64)
    zeroed = rehearse(replace(request, software=Software(primed=False, zeroed=True)))
    accumulated = rehearse(replace(request, accumulated=True))
    assert zeroed.peak_bytes == pytest.approx(accumulated.peak_bytes, rel=0.01)


@pytest.mark.slow
def test_checkpointing_and_half_precision_make_it_smaller_and_eager_attention_larger() -> None:
    request = replace(small_request(rows=64, length=64), precision="fp16")
    plain = rehearse(request).peak_bytes
    assert rehearse(replace(request, checkpointing=True)).peak_bytes < plain
    assert rehearse(replace(request, precision="fp32")).peak_bytes > plain
    assert rehearse(replace(request, attention="eager")).peak_bytes > plain


@pytest.mark.slow
def test_a_bert_large_is_rehearsed_without_its_weights_in_memory() -> None:
    request = PlanRequest(bert(layers=24, width=1024, vocabulary=30522).to_json_string(use_diff=False), 1, 32)
    psutil = pytest.importorskip("psutil")
    before = psutil.Process().memory_info().rss
    assert rehearse(request).weights_bytes > 1.2 * 2**30
    assert psutil.Process().memory_info().rss - before < 200 * 2**20
