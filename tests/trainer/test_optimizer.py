from __future__ import annotations

import copy
from typing import Any, Literal

import pytest
import torch

from trainer.checkpoint import load_optimizer
from trainer.config.schema import Config, ModelConfig, OptimizationConfig, TrainingConfig
from trainer.data.tasks import Task
from trainer.model.build import build_model
from trainer.model.classifier import Classifier
from trainer.optimizer import build_optimizer, parameter_groups, parameters_of, prime

TASKS = [Task("toxicity", ("none", "toxic"))]


def tiny() -> Classifier:
    torch.manual_seed(0)
    return build_model(ModelConfig(name="builtin:tiny"), tasks=TASKS, vocabulary_size=60)


def configured(**training: Any) -> Config:
    return Config(training=TrainingConfig(learning_rate=1e-3, weight_decay=0.1, **training))


def settings_by_name(model: Classifier, config: Config) -> dict[str, tuple[float, float]]:
    names = {id(parameter): name for name, parameter in model.net.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in parameter_groups(model, config)
        for parameter in group["params"]
    }


def test_every_parameter_is_in_one_group() -> None:
    model = tiny()
    optimizer = build_optimizer(model, configured(layer_lr_decay=0.8, head_lr_multiplier=3.0))
    listed = [id(parameter) for parameter in parameters_of(optimizer)]
    assert sorted(listed) == sorted(id(parameter) for parameter in model.parameters())


def test_biases_and_layer_norms_are_not_decayed() -> None:
    for name, (_, decay) in settings_by_name(tiny(), configured()).items():
        assert decay == (0.0 if name.endswith("bias") or "LayerNorm" in name else 0.1), name


def test_the_rate_falls_from_the_head_through_the_layers_to_the_embeddings() -> None:
    rates = settings_by_name(tiny(), configured(layer_lr_decay=0.5, head_lr_multiplier=4.0))
    first = {
        "classifier.weight": 4e-3,
        "bert.pooler.dense.weight": 4e-3,
        "bert.encoder.layer.1.output.dense.weight": 1e-3,
        "bert.encoder.layer.0.output.dense.weight": 5e-4,
        "bert.embeddings.word_embeddings.weight": 2.5e-4,
    }
    assert {name: rates[name][0] for name in first} == pytest.approx(first)


@pytest.mark.parametrize("name", ["AdamW", "Adafactor"])
def test_priming_changes_neither_weights_nor_the_first_steps(name: Literal["AdamW", "Adafactor"]) -> None:
    config = configured(layer_lr_decay=0.9).model_copy(
        update={"optimization": OptimizationConfig(optimizer=name)}
    )
    fresh = tiny()
    primed = copy.deepcopy(fresh)
    optimizers = [build_optimizer(model, config) for model in (fresh, primed)]
    prime(optimizers[1])
    assert_equal(fresh, primed)
    for _ in range(3):
        for model, optimizer in zip((fresh, primed), optimizers, strict=True):
            step_once(model, optimizer)
        assert_equal(fresh, primed)


@pytest.mark.parametrize("name", ["AdamW", "Adafactor"])
def test_priming_allocates_all_the_state_there_will_be(name: Literal["AdamW", "Adafactor"]) -> None:
    config = Config(optimization=OptimizationConfig(optimizer=name))
    model = tiny()
    optimizer = build_optimizer(model, config)
    prime(optimizer)
    shapes = state_shapes(optimizer)
    assert len(shapes) == sum(1 for _ in model.parameters())
    for parameter in model.parameters():
        assert parameter.grad is None
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert state_shapes(optimizer) == shapes


@pytest.mark.parametrize(
    "settings",
    [{}, {"optimizer": "Adafactor"}, {"cpu_offload": True}],
    ids=["AdamW", "Adafactor", "offloaded"],
)
def test_saved_state_put_back_gives_the_same_next_step(settings: dict[str, Any]) -> None:
    config = Config(optimization=OptimizationConfig(**settings))
    model = tiny()
    optimizer = build_optimizer(model, config)
    prime(optimizer)
    step_once(model, optimizer)
    saved, weights = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(model.state_dict())
    step_once(model, optimizer)
    other = tiny()
    continued = build_optimizer(other, config)
    prime(continued)
    other.load_state_dict(weights)
    load_optimizer(continued, saved)
    step_once(other, continued)
    assert_equal(model, other)


def step_once(model: Classifier, optimizer: torch.optim.Optimizer) -> None:
    model.eval()
    ids_BL = torch.arange(1, 37).reshape(4, 9)
    model(ids_BL, torch.ones_like(ids_BL)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def state_shapes(optimizer: torch.optim.Optimizer) -> list[dict[str, tuple[int, ...]]]:
    return [
        {key: tuple(value.shape) for key, value in optimizer.state[parameter].items()}
        for parameter in parameters_of(optimizer)
    ]


def assert_equal(left: Classifier, right: Classifier) -> None:
    for (name, one), (_, other) in zip(left.named_parameters(), right.named_parameters(), strict=True):
        assert torch.equal(one, other), name
