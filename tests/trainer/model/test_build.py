from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.trainer.model.families import NAMES, save_encoder
from trainer.config.schema import ModelConfig
from trainer.data.tasks import Task
from trainer.errors import ConfigError, ModelError
from trainer.model.build import build_model, empty_model, encoder_config, label_names, load_tokenizer

ONE = [Task("labels", ("no", "yes"))]
TWO = [Task("toxicity", ("none", "toxic", "severe")), Task("rude", ("no", "yes"))]
TEXTS = ["你好世界", "再見 world 42"]


def encoder(directory: Path, family: str = "bert", **settings: Any) -> tuple[ModelConfig, int]:
    """The configuration of a small saved encoder, and the size of its vocabulary."""
    save_encoder(family, directory, texts=TEXTS)
    model = ModelConfig(name=str(directory), max_sequence_length=32, **settings)
    return model, len(load_tokenizer(model, texts=[]))


@pytest.mark.parametrize("family", NAMES)
def test_a_saved_encoder_keeps_its_weights_and_gets_a_head_of_all_classes(
    tmp_path: Path, family: str
) -> None:
    model, size = encoder(tmp_path / "m", family)
    classifier = build_model(model, tasks=TWO, vocabulary_size=size)
    saved = load_file(tmp_path / "m" / "model.safetensors")
    built = classifier.net.base_model.state_dict()
    shared = [name for name in saved if "pooler" not in name]
    assert shared
    assert all(torch.equal(built[name], saved[name]) for name in shared)
    ids_BL = torch.randint(5, size, (3, 7))
    assert classifier.eval()(ids_BL, torch.ones_like(ids_BL)).shape == (3, 5)
    assert [part.shape[1] for part in classifier.split(torch.zeros(3, 5))] == [3, 2]


@pytest.mark.parametrize("family", NAMES)
def test_the_dropout_rate_reaches_every_dropout(tmp_path: Path, family: str) -> None:
    model, size = encoder(tmp_path / "m", family, dropout_rate=0.37)
    classifier = build_model(model, tasks=ONE, vocabulary_size=size)
    rates = {module.p for module in classifier.modules() if isinstance(module, nn.Dropout)}
    assert rates - {0} == {0.37}  # DeBERTa's pooler has one of its own, which stays off


def test_the_head_follows_from_torchs_seed(tmp_path: Path) -> None:
    model, size = encoder(tmp_path / "m")
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        heads.append(build_model(model, tasks=ONE, vocabulary_size=size).net.classifier.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_half_precision_weights_are_trained_in_float32(tmp_path: Path) -> None:
    model, size = encoder(tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    half = {name: value.half() for name, value in load_file(path).items()}
    save_file(half, path, metadata={"format": "pt"})
    classifier = build_model(model, tasks=ONE, vocabulary_size=size)
    assert {parameter.dtype for parameter in classifier.parameters()} == {torch.float32}


def test_weights_that_lack_part_of_the_encoder_are_refused(tmp_path: Path) -> None:
    model, size = encoder(tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    kept = {name: value for name, value in load_file(path).items() if "layer.1." not in name}
    save_file(kept, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 16 tensors of a bert encoder.*bert\.encoder\.layer\.1"):
        build_model(model, tasks=ONE, vocabulary_size=size)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    model, size = encoder(tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    weights = load_file(path)
    name = "embeddings.word_embeddings.weight"
    save_file({**weights, name: weights[name][:-1].clone()}, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"another shape \(bert\.embeddings\.word_embeddings\.weight"):
        build_model(model, tasks=ONE, vocabulary_size=size)


def test_a_head_of_another_size_is_replaced(tmp_path: Path) -> None:
    model, size = encoder(tmp_path / "m")
    build_model(model, tasks=TWO, vocabulary_size=size).net.save_pretrained(tmp_path / "tuned")
    tuned = model.model_copy(update={"name": str(tmp_path / "tuned")})
    assert build_model(tuned, tasks=ONE, vocabulary_size=size).net.classifier.weight.shape[0] == 2


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    model, size = encoder(tmp_path / "m")
    with pytest.raises(ConfigError, match=f"has {size + 1} tokens, its model only {size}"):
        encoder_config(model, tasks=ONE, vocabulary_size=size + 1)


@pytest.mark.parametrize(("family", "positions"), [("bert", 66), ("roberta", 65)])
def test_a_text_may_be_as_long_as_the_model_has_positions(
    tmp_path: Path, family: str, positions: int
) -> None:
    model, size = encoder(tmp_path / "m", family)
    longest = model.model_copy(update={"max_sequence_length": positions})
    ids_BL = torch.randint(5, size, (1, positions))
    build_model(longest, tasks=ONE, vocabulary_size=size)(ids_BL, torch.ones_like(ids_BL))
    longer = model.model_copy(update={"max_sequence_length": positions + 1})
    with pytest.raises(ConfigError, match=f"has only {positions} positions"):
        encoder_config(longer, tasks=ONE)


def test_pooling_for_a_head_that_is_not_known_is_refused(tmp_path: Path) -> None:
    from transformers import DistilBertConfig

    DistilBertConfig(dim=16, n_layers=1, n_heads=2, hidden_dim=16, vocab_size=9).save_pretrained(tmp_path)
    model = ModelConfig(name=str(tmp_path), max_sequence_length=32, pooling="mean")
    with pytest.raises(ConfigError, match="pooling mean is not known for distilbert models; use cls"):
        encoder_config(model, tasks=ONE)
    encoder_config(model.model_copy(update={"pooling": "cls"}), tasks=ONE)


def test_an_empty_model_has_the_same_tensors(tmp_path: Path) -> None:
    model, size = encoder(tmp_path / "m")
    built = build_model(model, tasks=TWO, vocabulary_size=size).net.state_dict()
    empty = empty_model(model, tasks=TWO, vocabulary_size=size).net.state_dict()
    assert {name: value.shape for name, value in built.items()} == {n: v.shape for n, v in empty.items()}


def test_a_directory_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    model, _ = encoder(tmp_path / "m")
    for path in (tmp_path / "m").glob("*token*"):
        path.unlink()
    with pytest.raises(ModelError, match="has no usable tokenizer"):
        load_tokenizer(model, texts=[])


def test_several_tasks_name_their_classes_with_the_task() -> None:
    assert label_names(ONE) == ["no", "yes"]
    assert label_names(TWO) == ["toxicity/none", "toxicity/toxic", "toxicity/severe", "rude/no", "rude/yes"]
