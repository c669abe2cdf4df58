from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.trainer.runs import make_config
from trainer.config.schema import ClassWeights, Config, ModelConfig, TrainingConfig
from trainer.data.batches import Batch, micro_batches
from trainer.data.tasks import Task
from trainer.loss import MultiTaskLoss, class_weights
from trainer.metrics import MASKED
from trainer.model.build import build_model
from trainer.optimizer import build_optimizer
from trainer.step import Precision, TrainStep, precision_for, to_device

TASKS = [Task("toxicity", ("none", "toxic", "severe"), 1.0), Task("rude", ("no", "yes"), 0.5)]
ROWS = 24


def make_step(config: Config, labels_BT: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> TrainStep:
    torch.manual_seed(3)
    model = build_model(
        ModelConfig(name="builtin:tiny", dropout_rate=0.0), tasks=TASKS, vocabulary_size=60
    ).train()
    weights = class_weights(labels_BT, tasks=TASKS, mode=config.training.class_weights)
    loss = MultiTaskLoss(TASKS, weights=weights, label_smoothing=config.training.label_smoothing)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return TrainStep(model, loss, build_optimizer(model, config), scaler, Precision("cpu"), max_grad_norm=1.0)


def gradients(config: Config, token_budget: int) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of one effective batch of texts of 2..31 tokens, some labels masked."""
    generator = np.random.default_rng(0)
    lengths_B = generator.integers(2, 32, ROWS)
    ids_BL = torch.from_numpy(generator.integers(5, 60, (ROWS, 32)))
    labels_BT = np.stack([generator.integers(0, 3, ROWS), generator.integers(0, 2, ROWS)], axis=1)
    labels_BT[::3, 0] = MASKED
    labels_BT[1::4, 1] = MASKED
    step = make_step(config, labels_BT)
    batches = []
    for cut in micro_batches(lengths_B, token_budget=token_budget):
        width = int(lengths_B[cut].max())
        mask_BL = torch.from_numpy(np.arange(width)[None] < lengths_B[cut][:, None]).long()
        batches.append(Batch(ids_BL[cut, :width] * mask_BL, mask_BL, torch.from_numpy(labels_BT[cut])))
    loss = float(step.gradients(batches, step.loss.totals(labels_BT)))
    grads = {name: p.grad for name, p in step.model.named_parameters() if p.grad is not None}
    assert len(grads) == len(dict(step.model.named_parameters()))
    return loss, grads


@pytest.mark.parametrize("weights", ["none", "sqrt", "balanced"])
def test_the_gradient_does_not_depend_on_the_cut(tmp_path: Path, weights: ClassWeights) -> None:
    config = make_config(tmp_path, training__class_weights=weights, training__label_smoothing=0.1)
    found = [gradients(config, budget) for budget in (32, 64, 256, 10_000)]
    for (loss, grads), (other_loss, other_grads) in pairwise(found):
        assert loss == pytest.approx(other_loss, rel=1e-6)
        # Key biases have a gradient of zero but for rounding: compare with the largest of all.
        largest = max(float(grad.abs().max()) for grad in grads.values())
        for name, grad in grads.items():
            assert float((grad - other_grads[name]).abs().max()) <= 1e-6 * largest, name


def test_an_update_clips_to_the_global_norm_and_drops_the_gradients(tmp_path: Path) -> None:
    step = make_step(make_config(tmp_path), np.zeros((1, 2), dtype=np.int64))
    seen: list[float] = []
    parameters = list(step.model.parameters())
    step.optimizer.register_step_pre_hook(
        lambda *_: seen.append(
            float(torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm())
        )
    )
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    norm = step.update()
    assert float(norm) == pytest.approx(sum(p.numel() for p in parameters) ** 0.5, rel=1e-4)
    assert seen == pytest.approx([1.0], rel=1e-3)
    assert all(parameter.grad is None for parameter in parameters)


def test_on_the_cpu_a_batch_stays_where_it_is() -> None:
    batch = Batch(torch.zeros(1, 2), torch.ones(1, 2), torch.zeros(1, 1))
    assert to_device(batch, torch.device("cpu"), pin=True) is batch


def test_precision_names_its_arithmetic() -> None:
    assert Precision("cpu").name == "fp32"
    assert Precision("cuda", torch.float16).name == "fp16"
    with Precision("cpu", torch.bfloat16).autocast():
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.bfloat16


def test_precision_is_what_was_asked_for_on_a_gpu_and_bfloat16_where_a_cpu_has_units_for_it(
    processor: Callable[[str], None],
) -> None:
    asked = [TrainingConfig(), TrainingConfig(fp16=False), TrainingConfig(bf16=True)]
    configs = [Config(training=training) for training in asked]
    on_gpu = [precision_for(config, "cuda", packs=False).name for config in configs]
    assert on_gpu == ["fp16", "fp32", "bf16"] == [config.precision for config in configs]
    assert [precision_for(config, "cuda", packs=True).name for config in configs] == on_gpu

    def on_cpu(flags: str, *, packs: bool) -> list[str]:
        processor(flags)
        return [precision_for(config, "cpu", packs=packs).name for config in configs]

    assert on_cpu("amx_bf16", packs=True) == ["bf16", "fp32", "bf16"]
    assert on_cpu("amx_bf16", packs=False) == ["fp32"] * 3
    assert on_cpu("avx512_bf16", packs=True) == ["fp32"] * 3


def test_a_step_the_fp16_scaler_leaves_out_is_counted_and_changes_no_weight(tmp_path: Path) -> None:
    """A scale that is too large overflows the gradients, not the loss: it is halved and the step left out."""
    labels_BT = np.zeros((4, 2), dtype=np.int64)
    step = make_step(make_config(tmp_path), labels_BT)
    step.precision = Precision("cpu", torch.float16)
    step.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24)
    ids_BL = torch.arange(5, 41).reshape(4, 9)
    batch = Batch(ids_BL, torch.ones_like(ids_BL), torch.from_numpy(labels_BT))
    before = {name: p.detach().clone() for name, p in step.model.named_parameters()}
    done = 0
    while step.skipped == done:
        done += 1
        assert torch.isfinite(step.gradients([batch], step.loss.totals(labels_BT)))
        step.update()
        if step.skipped == done:
            assert all(torch.equal(before[name], p) for name, p in step.model.named_parameters())
    assert step.skipped == done - 1 > 0
    assert step.scaler.get_scale() == 2.0 ** (24 - step.skipped)
    assert any(not torch.equal(before[name], p) for name, p in step.model.named_parameters())
