from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any, get_args

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from tests.trainer.model.families import NAMES, family_config
from trainer.checkpoint import load_optimizer
from trainer.config.schema import Config, ModelConfig, OptimizationConfig, OptimizerName, TrainingConfig
from trainer.data.tasks import Task
from trainer.errors import ConfigError
from trainer.memory.planned_optimizer import build_planned_optimizer
from trainer.model.build import build_model
from trainer.model.classifier import Classifier
from trainer.model.layers import freeze
from trainer.optimizer import build_optimizer, parameter_groups, parameters_of, prime, require_optimizer

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


@pytest.mark.parametrize("family", NAMES)
@pytest.mark.parametrize("trained", [0, 1, 2])
def test_in_every_family_the_heads_and_the_top_layers_alone_are_trained(family: str, trained: int) -> None:
    net = AutoModelForSequenceClassification.from_config(family_config(family))
    freeze(net, trained_layers=trained)
    expected = {4e-3, 1e-3, 5e-4, 2.5e-4}  # heads, top layer, the one below, embeddings
    rates = {expected_rate(name) for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert rates == set(sorted(expected, reverse=True)[: trained + 1])
    groups = parameter_groups(Classifier(net, sizes=[2], pooling="cls"), configured())
    assert all(parameter.requires_grad for group in groups for parameter in group["params"])


@pytest.mark.parametrize("family", NAMES)
def test_the_groups_of_every_family_follow_the_same_rules(family: str) -> None:
    """Decay on weight matrices only; rates fall from the head through the layers to the embeddings."""
    torch.manual_seed(0)
    net = AutoModelForSequenceClassification.from_config(family_config(family))
    model = Classifier(net, sizes=[2], pooling="cls")
    found = settings_by_name(model, configured(layer_lr_decay=0.5, head_lr_multiplier=4.0))
    assert found.keys() == dict(net.named_parameters()).keys()
    for name, (rate, decay) in found.items():
        assert decay == (0.0 if name.endswith("bias") or "LayerNorm" in name else 0.1), name
        assert rate == pytest.approx(expected_rate(name)), name
    assert {rate for rate, _ in found.values()} == {4e-3, 1e-3, 5e-4, 2.5e-4}


def expected_rate(name: str) -> float:
    """Of two layers: head 4, upper layer 1, lower layer 1/2, whatever lies below 1/4."""
    if name.startswith(("classifier", "pooler")) or ".pooler." in name:
        return 4e-3
    return 1e-3 if ".layer.1." in name else 5e-4 if ".layer.0." in name else 2.5e-4


def test_an_optimizer_that_is_not_installed_is_said_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.optimizer.find_spec", lambda name: None)
    require_optimizer(Config())
    with pytest.raises(ConfigError, match=r"AdamW8bit needs bitsandbytes; pip install 'cp-search\[8bit\]'"):
        require_optimizer(Config(optimization=OptimizationConfig(optimizer="AdamW8bit")))


def test_the_state_of_eight_bits_is_as_large_as_the_plan_says() -> None:
    model = tiny()
    real = build_optimizer(model, Config(optimization=OptimizationConfig(optimizer="AdamW8bit")))
    prime(real)
    planned = build_planned_optimizer(model, "adamw8bit", host=nullcontext)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    planned.step()
    # The two tables of 256 levels are the same tensors for every parameter.
    sizes = [state_bytes(optimizer, without="qmap") for optimizer in (real, planned)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)


def state_bytes(optimizer: torch.optim.Optimizer, *, without: str) -> int:
    return sum(
        value.nbytes
        for state in optimizer.state.values()
        for key, value in state.items()
        if isinstance(value, torch.Tensor) and not key.startswith(without)
    )


@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_priming_changes_neither_weights_nor_the_first_steps(name: OptimizerName) -> None:
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


@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_priming_allocates_all_the_state_there_will_be(name: OptimizerName) -> None:
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
    [{}, {"optimizer": "Adafactor"}, {"optimizer": "AdamW8bit"}, {"cpu_offload": True}],
    ids=["AdamW", "Adafactor", "AdamW8bit", "offloaded"],
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
        {
            key: tuple(value.shape)
            for key, value in optimizer.state[parameter].items()
            if isinstance(value, torch.Tensor)
        }
        for parameter in parameters_of(optimizer)
    ]


def assert_equal(left: Classifier, right: Classifier) -> None:
    for (name, one), (_, other) in zip(left.named_parameters(), right.named_parameters(), strict=True):
        assert torch.equal(one, other), name
