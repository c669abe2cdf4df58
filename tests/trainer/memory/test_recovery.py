from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.runs import Watcher, difference, make_config, weights_of
from trainer.errors import OutOfMemory
from trainer.loop import Loop
from trainer.memory.card import CardSpec
from trainer.memory.open_card import open_card
from trainer.memory.recovery import Cut, LengthBudgets, Recovery, TokenBudget, asked_bytes
from trainer.memory.virtual import VirtualCard
from trainer.outcome import Outcome
from trainer.runner import run

MIB = 2**20
#: larger than any rule for small cards looks at
ROOMY = CardSpec("roomy", 2**33, virtual=True)


class Tight:
    """The plan was too hopeful: there is less room beside what is alive than a full step wants."""

    def on_train_begin(self, trainer: Loop, **kwargs: Any) -> None:
        leave(trainer, room=int(2.3 * MIB))


class Squeeze:
    """After the third step the card has less room beside what is alive than a full step wants."""

    def on_step_end(self, trainer: Loop, step: int, **kwargs: Any) -> None:
        if step == 3:
            leave(trainer, room=int(2.3 * MIB))


class SqueezeEvaluation:
    """Before an evaluation the card is left with less than the evaluation's micro-batches want."""

    def on_step_end(self, trainer: Loop, step: int, **kwargs: Any) -> None:
        leave(trainer, room=MIB // 2 if step == trainer.steps_per_epoch else 2**32)


class Strangle:
    """From the start the card has no room for any step."""

    def on_train_begin(self, trainer: Loop, **kwargs: Any) -> None:
        leave(trainer, room=MIB // 16)


def leave(trainer: Loop, *, room: int) -> None:
    card = trainer.parts.card
    assert isinstance(card, VirtualCard)
    card.limit_bytes = card.live_bytes() + room


def train(directory: Path, name: str, card: CardSpec, **settings: Any) -> tuple[Outcome, Watcher, Path]:
    config = make_config(directory, model__dropout_rate=0.0, training__num_epochs=1, **settings)
    watcher = Watcher()
    outcome = run(config, directory=directory / name, card=card, observer=watcher)
    return outcome, watcher, directory / name


def peak_of(outcome: Outcome) -> int:
    assert outcome.measured_peak_bytes is not None
    return outcome.measured_peak_bytes


def learnt(directory: Path) -> dict[str, Tensor]:
    """Weights without the key biases: softmax is blind to them, their gradient is rounding noise alone."""
    return {name: value for name, value in weights_of(directory).items() if "key.bias" not in name}


def test_a_step_that_does_not_fit_is_halved_and_done_again_with_the_same_result(tmp_path: Path) -> None:
    free, _, unlimited = train(tmp_path, "free", ROOMY)
    outcome, watcher, limited = train(tmp_path, "tight", ROOMY, callbacks__custom=[f"{__name__}:Tight"])
    assert outcome.status == "completed"
    assert any("OOM detected, reducing batch size from 8 to 4" in line for line in watcher.lines)
    assert outcome.oom_events[0]["where"] == "step 1"
    assert outcome.measures == ["smaller micro-batches from step 1"] * len(outcome.oom_events)
    assert outcome.limit_bytes is not None
    assert peak_of(outcome) <= outcome.limit_bytes < peak_of(free)
    assert difference(learnt(limited), learnt(unlimited)) < 1e-6
    assert outcome.best_metrics["eval_loss"] == pytest.approx(free.best_metrics["eval_loss"], rel=1e-6)


def test_a_card_smaller_than_the_weights_ends_the_run_as_out_of_memory(tmp_path: Path) -> None:
    outcome, _, directory = train(tmp_path, "small", CardSpec("small", MIB, virtual=True))
    assert outcome.status == "oom"
    assert outcome.needed_bytes is not None
    assert outcome.limit_bytes == MIB < outcome.needed_bytes
    assert "small" in str(outcome.error)
    assert not (directory / "final_model.pt").exists()


@pytest.mark.slow
def test_a_single_example_that_does_not_fit_ends_the_run_after_every_halving(tmp_path: Path) -> None:
    outcome, watcher, _ = train(tmp_path, "tight", ROOMY, callbacks__custom=[f"{__name__}:Strangle"])
    assert outcome.status == "oom"
    assert "a single example at step 1 does not fit" in str(outcome.error)
    batch_sizes = [line.split()[6:9] for line in watcher.lines if "OOM detected" in line]
    assert [first for first, *_ in batch_sizes][:3] == ["8", "4", "2"]
    assert len(outcome.oom_events) == len(batch_sizes)


def test_a_limit_that_drops_in_the_middle_is_met_from_that_step_on(tmp_path: Path) -> None:
    _, _, unlimited = train(tmp_path, "free", ROOMY)
    outcome, _, squeezed = train(tmp_path, "squeezed", ROOMY, callbacks__custom=[f"{__name__}:Squeeze"])
    assert outcome.status == "completed"
    assert {event["where"] for event in outcome.oom_events} >= {"step 4"}
    assert not {"step 1", "step 2", "step 3"} & {event["where"] for event in outcome.oom_events}
    assert difference(learnt(squeezed), learnt(unlimited)) < 1e-6


@pytest.mark.slow
def test_an_evaluation_that_does_not_fit_is_halved_and_recorded(tmp_path: Path) -> None:
    free, _, _ = train(tmp_path, "free", ROOMY)
    names = [f"{__name__}:SqueezeEvaluation"]
    outcome, _, _ = train(tmp_path, "squeezed", ROOMY, callbacks__custom=names)
    assert outcome.status == "completed"
    assert {event["where"] for event in outcome.oom_events} == {"evaluation 1"}
    assert outcome.best_metrics["eval_loss"] == pytest.approx(free.best_metrics["eval_loss"], rel=1e-6)


def test_work_done_again_draws_the_same_random_numbers_and_leaves_nothing_alive() -> None:
    drawn: list[float] = []
    alive: list[int] = []
    with open_card(ROOMY) as card:
        before = card.live_bytes() or 0

        def work(tokens: int) -> int:
            alive.append((card.live_bytes() or 0) - before)
            held = torch.zeros(MIB)
            drawn.append(float(torch.rand(())))
            if tokens > 100:
                raise torch.OutOfMemoryError(f"Tried to allocate 20.00 MiB {held.numel()}")
            return tokens

        budget = TokenBudget(400, full_length=50)
        said: list[str] = []
        found = Recovery(card, say=said.append).run(
            work, budget=budget, cut=lambda tokens: Cut(tokens, 8), forget=lambda: None, where="step 1"
        )
    assert found == budget.tokens == 100
    assert len(set(drawn)) == 1
    assert max(alive) < MIB
    assert said[0] == "OOM detected, reducing batch size from 8 to 4 (400 to 200 tokens)"


def test_other_errors_are_not_taken_for_out_of_memory() -> None:
    def work(tokens: int) -> None:
        raise ValueError("no memory error")

    with open_card(ROOMY) as card, pytest.raises(ValueError, match="no memory error"):
        Recovery(card, say=print).run(
            work,
            budget=TokenBudget(64, 8),
            cut=lambda tokens: Cut(64, 8),
            forget=lambda: None,
            where="step 1",
        )


def test_what_was_needed_counts_what_was_alive_when_it_failed() -> None:
    def work(tokens: int) -> None:
        held = torch.zeros(8 * MIB, dtype=torch.uint8)
        torch.zeros(held.numel(), dtype=torch.uint8)

    with open_card(CardSpec("ten", 10 * MIB, virtual=True)) as card:
        recovery = Recovery(card, say=print)
        with pytest.raises(OutOfMemory) as caught:
            recovery.run(
                work,
                budget=TokenBudget(8, 8),
                cut=lambda tokens: Cut(8, 1),
                forget=lambda: None,
                where="step 1",
            )
    assert caught.value.needed_bytes == pytest.approx(16 * MIB, abs=4096)
    assert caught.value.limit_bytes == 10 * MIB


@pytest.mark.parametrize(
    ("message", "size"),
    [
        ("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has", 20 * MIB),
        ("CUDA out of memory. Tried to allocate 1.50 GiB.", 3 * 2**29),
        ("Tried to allocate 512 bytes", 512),
        ("something else", 0),
        ("Tried to allocate 3.00 KiB", 3072),
        ("Tried to allocate 17 bytes", 17),
    ],
)
def test_the_size_is_read_from_torchs_message(message: str, size: int) -> None:
    assert asked_bytes(message) == size


def test_a_budget_lowered_for_long_texts_stays_as_it_was_for_short_ones() -> None:
    budgets = LengthBudgets(4096, full_length=512)
    budget = budgets.at(500)
    budget.tokens = 1024
    budgets.remember(500, budget)
    assert budgets.at(512).tokens == budgets.at(257).tokens == 1024
    assert budgets.at(256).tokens == budgets.at(1).tokens == 4096


def test_a_budget_lowered_for_short_texts_holds_for_longer_ones_too() -> None:
    budgets = LengthBudgets(4096, full_length=512)
    budgets.remember(60, TokenBudget(2048, 512))
    assert [budgets.at(longest).tokens for longest in (32, 60, 500)] == [4096, 2048, 2048]
    budgets.remember(500, TokenBudget(1024, 512))
    assert [budgets.at(longest).tokens for longest in (60, 500)] == [2048, 1024]
    assert budgets.lowered == {"64": 2048, "512": 1024}


def test_a_step_that_fits_lowers_nothing() -> None:
    budgets = LengthBudgets(4096, full_length=512)
    budgets.remember(500, budgets.at(500))
    assert budgets.lowered == {}


class ShortsBetween:
    """Only steps with texts of more than 16 tokens find too little room."""

    def on_train_begin(self, trainer: Loop, **kwargs: Any) -> None:
        def refuse(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            ids_BL = keywords["input_ids"] if "input_ids" in keywords else arguments[0]
            if ids_BL.shape[0] > 4 and ids_BL.shape[1] > 16:
                raise torch.OutOfMemoryError("Tried to allocate 2.00 MiB")

        trainer.model.net.register_forward_pre_hook(refuse, with_kwargs=True)

    def on_train_end(self, trainer: Loop, **kwargs: Any) -> None:
        longest = {int(length) for length in trainer.progress.lowered_tokens}
        assert longest == {32}
        assert trainer.budget.at(16).tokens == 8 * 32


@pytest.mark.slow
def test_a_run_remembers_its_budget_for_lengths_like_these(tmp_path: Path) -> None:
    outcome, _, _ = train(tmp_path, "run", ROOMY, callbacks__custom=[f"{__name__}:ShortsBetween"])
    assert outcome.status == "completed"
    assert {event["where"] for event in outcome.oom_events if "step" in event["where"]} == {"step 1"}
