"""The ladder of measures: in order of cost, each smaller than the one before, none changing a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.optim import AdamW

from tests.cases import quick
from tests.trainer.memory.encoders import bert
from trainer.config.schema import Checkpointing, Config, ModelConfig, OptimizationConfig, TrainingConfig
from trainer.data.batches import Batch
from trainer.data.tasks import Task
from trainer.layout import laid_out
from trainer.loss import MultiTaskLoss
from trainer.memory.card import CardSpec, parse_card
from trainer.memory.fitting import Rung, Shape, fit, ladder, largest_rung, small_card_rules
from trainer.memory.plan import Planner
from trainer.memory.plan_cache import PlanCache
from trainer.memory.rehearsal import random_model
from trainer.memory.request import OptimizerKind, PlanRequest, encoder_json, request_of
from trainer.model.build import checkpoint_layers
from trainer.model.classifier import Classifier
from trainer.offload import Offloaded
from trainer.step import Precision, TrainStep

LENGTH = 64
SHAPE = Shape(encoder_json(bert(layers=3)), (2,))
FULL: Checkpointing = True


@pytest.fixture(scope="module")
def planner(tmp_path_factory: pytest.TempPathFactory) -> Planner:
    """Plans each request once for all tests."""
    return Planner(PlanCache(tmp_path_factory.mktemp("plans")))


def config(micro: int = 16, effective: int = 32, *, length: int = LENGTH, **optimization: bool) -> Config:
    training = TrainingConfig(batch_size=micro, effective_batch_size=effective, fp16=False)
    model = ModelConfig(name="a-bert", max_sequence_length=length)
    return Config(
        model=model, training=training, optimization=OptimizationConfig.model_validate(optimization)
    )


def peak(rung: Rung, planner: Planner) -> int:
    request = request_of(config(rung.micro_batch), encoder=SHAPE.encoder, sizes=SHAPE.sizes, cuda=False)
    optimizer: OptimizerKind = "adamw_offload" if rung.offload else "adamw_fused"
    asked = replace(request, checkpointing=rung.checkpointing, optimizer=optimizer, accumulated=True)
    return planner.plan(asked).tensor_peak_bytes


def card(limit: int) -> CardSpec:
    return CardSpec("virtual", limit, virtual=True)


def test_the_ladder_goes_from_what_was_asked_down_in_order_of_cost() -> None:
    rungs = list(ladder(config(16, length=64)))
    assert rungs[0] == Rung(16, False, False)
    assert rungs[1] == Rung(8, False, False)  # 512 tokens still fill a card
    assert rungs[2:6] == [Rung(n, how, False) for how in ("selective", FULL) for n in (16, 8)]
    assert rungs[6:8] == [Rung(16, FULL, True), Rung(8, FULL, True)]
    assert rungs[8:] == [Rung(n, FULL, True) for n in (4, 2, 1)]
    assert len(set(rungs)) == len(rungs)


def test_what_is_on_already_is_no_measure() -> None:
    rungs = list(ladder(config(8, gradient_checkpointing=True, cpu_offload=True)))
    assert rungs == [Rung(n, FULL, True) for n in (8, 4, 2, 1)]


def test_a_family_without_checkpointing_has_a_ladder_without_it() -> None:
    rungs = list(ladder(config(16), checkpointable=False))
    assert not any(rung.checkpointing for rung in rungs)
    assert rungs[-1] == Rung(1, False, True)


@pytest.mark.slow
def test_every_measure_makes_the_peak_smaller(planner: Planner) -> None:
    ways: Sequence[Rung] = [
        Rung(16, False, False),
        Rung(16, "selective", False),
        Rung(16, FULL, False),
        Rung(16, FULL, True),
    ]
    peaks = [peak(rung, planner) for rung in ways]
    assert peaks == sorted(peaks, reverse=True)
    assert len(set(peaks)) == len(peaks)
    assert peak(Rung(8, False, False), planner) < peaks[0]


@pytest.mark.parametrize("optimizer", quick("AdamW", others=["Adafactor"]))
def test_a_plan_with_the_state_in_host_memory_is_smaller_by_that_state(
    optimizer: str, planner: Planner
) -> None:
    plans = []
    for offload in (False, True):
        base = config(1, 1)
        settings = {"optimizer": optimizer, "cpu_offload": offload}
        asked = base.model_copy(update={"optimization": OptimizationConfig.model_validate(settings)})
        request = request_of(asked, encoder=SHAPE.encoder, sizes=SHAPE.sizes, cuda=False)
        plans.append(planner.plan(request))
    on_card, in_host_memory = plans
    assert in_host_memory.optimizer_bytes < 1024 < on_card.optimizer_bytes  # the loss's own weights
    assert in_host_memory.tensor_peak_bytes < on_card.tensor_peak_bytes


def test_the_first_rung_that_fits_is_taken_and_the_effective_batch_stays(planner: Planner) -> None:
    asked = config(8)
    least = peak(Rung(8, "selective", False), planner)
    fitting = fit(asked, shape=SHAPE, spec=card(least), planner=planner)
    assert fitting.verdict == "fits"
    assert fitting.rung == Rung(8, "selective", False)
    assert fitting.config.effective_batch_size == 32
    assert fitting.config.optimization.gradient_checkpointing == "selective"
    assert fitting.measures == ("gradient checkpointing off -> selective (to fit the card)",)


def test_what_fits_as_it_was_asked_is_left_alone(planner: Planner) -> None:
    fitting = fit(config(), shape=SHAPE, spec=card(2**40), planner=planner)
    assert (fitting.rung, fitting.measures) == (Rung(16, False, False), ())


def test_where_nothing_fits_the_lowest_rung_says_by_how_much(planner: Planner) -> None:
    fitting = fit(config(), shape=SHAPE, spec=card(2**20), planner=planner)
    assert fitting.verdict == "no"
    assert fitting.rung == Rung(1, FULL, True)
    assert fitting.over_bytes == peak(Rung(1, FULL, True), planner) - 2**20


def test_a_calibrated_plan_takes_a_lower_rung(planner: Planner) -> None:
    limit = peak(Rung(16, False, False), planner)
    alone = fit(config(), shape=SHAPE, spec=card(limit), planner=planner)
    warned = fit(config(), shape=SHAPE, spec=card(limit), planner=planner, calibration=1.1)
    assert alone.measures == ()
    assert warned.measures != ()
    assert warned.predicted_bytes == round(1.1 * warned.planned_bytes)


@pytest.mark.slow
def test_the_largest_micro_batch_fits_and_one_more_does_not(planner: Planner) -> None:
    limit = peak(Rung(11, False, False), planner)
    assert largest(limit, planner) == Rung(11, False, False)
    assert largest(2**40, planner) == Rung(32, False, False)


@pytest.mark.slow
def test_the_largest_micro_batch_is_found_with_measures_where_it_would_not_fill_the_card_without(
    planner: Planner,
) -> None:
    """8 texts of 64 tokens fill a card."""
    limit = peak(Rung(8, False, False), planner)
    assert largest(limit, planner) == Rung(8, False, False)
    found = largest(limit - 1, planner)
    assert found.checkpointing
    assert found.micro_batch > 8
    assert (
        peak(found, planner) <= limit - 1 < peak(replace(found, micro_batch=found.micro_batch + 1), planner)
    )
    assert largest(1, planner) == Rung(1, FULL, True)


@pytest.mark.slow
def test_auto_batch_size_says_the_measures_it_took(planner: Planner, tmp_path: Path) -> None:
    asked = config()
    training = asked.training.model_copy(update={"auto_batch_size": True})
    data = asked.data.model_copy(update={"cache_dir": str(tmp_path)})
    asked = asked.model_copy(update={"training": training, "data": data})
    limit = peak(Rung(8, False, False), planner) - 1
    layout = laid_out(asked, shape=SHAPE, spec=card(limit))
    found = largest(limit, planner)
    assert layout.config.micro_batch_size == found.micro_batch
    assert layout.config.optimization.gradient_checkpointing == found.checkpointing
    assert any(note.startswith("auto_batch_size: micro-batches of") for note in layout.notes)
    assert any(note.startswith("gradient checkpointing off -> ") for note in layout.notes)


def largest(limit: int, planner: Planner) -> Rung:
    return largest_rung(config(), shape=SHAPE, spec=card(limit), planner=planner)


@pytest.mark.parametrize(("micro", "effective", "expected"), [(32, 64, 8), (4, 32, 4), (8, 8, 4), (1, 1, 1)])
def test_small_cards_take_small_micro_batches_and_at_least_two(
    micro: int, effective: int, expected: int
) -> None:
    ruled, notes = small_card_rules(config(micro, effective), parse_card("rtx3050"))
    assert (ruled.micro_batch_size, ruled.effective_batch_size) == (expected, effective)
    assert ruled.training.fp16
    assert not ruled.data.pin_memory
    assert any(note.startswith("fp16 off -> on (a card of 4.00 GiB)") for note in notes)
    assert any("micro-batch" in note for note in notes) == (micro != expected)


def test_larger_cards_have_no_rules_of_their_own() -> None:
    assert small_card_rules(config(), parse_card("t4")) == (config(), ())


def test_a_model_that_cannot_be_planned_is_tried_and_the_run_says_so(tmp_path: Path) -> None:
    longformer = bert()
    settings = encoder_json(longformer).replace('"model_type": "bert"', '"model_type": "longformer"')
    shape = Shape(settings.replace('"hidden_act"', '"attention_window": 16, "hidden_act"'), (2,))
    asked = config()
    asked = asked.model_copy(update={"data": asked.data.model_copy(update={"cache_dir": str(tmp_path)})})
    layout = laid_out(asked, shape=shape, spec=card(2**33))
    assert layout.fitting is None
    assert "the memory of longformer models cannot be planned" in layout.notes[-1]


def gradients(model: Classifier, cuts: Sequence[slice]) -> dict[str, Tensor]:
    loss = MultiTaskLoss([Task("labels", ("0", "1"))], weights=[[1.0, 1.0]], label_smoothing=0.0)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    step = TrainStep(model, loss, AdamW(model.parameters()), scaler, Precision("cpu"), 1.0)
    draw = torch.Generator().manual_seed(3)
    ids_BL = torch.randint(0, 1000, (8, 16), generator=draw)
    labels_BT = torch.randint(0, 2, (8, 1), generator=draw)
    batches = [Batch(ids_BL[cut], torch.ones_like(ids_BL[cut]), labels_BT[cut]) for cut in cuts]
    model.train()
    step.gradients(batches, [8.0])
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def without_dropout() -> Classifier:
    torch.manual_seed(1)
    shape = bert(layers=3)
    shape.hidden_dropout_prob = shape.attention_probs_dropout_prob = 0.0
    return random_model(PlanRequest(encoder_json(shape), 8, 16))


@pytest.mark.parametrize(
    ("checkpointing", "rows"), [(False, 4), (False, 1), ("selective", 8), (True, 8), (True, 2)]
)
def test_no_measure_changes_a_gradient(checkpointing: Checkpointing, rows: int) -> None:
    whole = gradients(without_dropout(), [slice(0, 8)])
    model = without_dropout()
    checkpoint_layers(model.net, checkpointing)
    measured = gradients(model, [slice(start, start + rows) for start in range(0, 8, rows)])
    assert measured.keys() == whole.keys()
    for name, gradient in whole.items():
        if "key.bias" not in name:  # softmax is blind to it: rounding noise alone
            assert (measured[name] - gradient).norm() <= 1e-6 * gradient.norm(), name


def test_state_in_host_memory_makes_the_same_updates() -> None:
    card_model, host_model = without_dropout(), without_dropout()
    on_card = AdamW(card_model.parameters(), lr=1e-3, fused=True)
    groups = [{"params": list(host_model.parameters()), "lr": 1e-3}]
    offloaded = Offloaded(groups, make=lambda copies: AdamW(copies, fused=True), host=torch.no_grad)
    for _ in range(2):
        for model, optimizer in ((card_model, on_card), (host_model, offloaded)):
            gradients(model, [slice(0, 8)])
            optimizer.step()
            optimizer.zero_grad()
    for mine, other in zip(card_model.parameters(), host_model.parameters(), strict=True):
        assert torch.equal(mine, other)
