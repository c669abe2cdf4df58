"""Shapes of encoders without their weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.config.schema import ModelConfig
from trainer.data.tasks import Task
from trainer.errors import ModelError
from trainer.memory.encoders import encoder_shape, known_encoders, longest_text, with_dropout
from trainer.memory.request import encoder_json
from trainer.model.build import encoder_config

TINY = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 50}


def written(directory: Path, **settings: object) -> str:
    """A directory that holds a config.json and nothing else."""
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return str(directory)


@pytest.mark.parametrize("name", known_encoders())
def test_every_shape_of_the_table_is_an_encoder_with_positions(name: str) -> None:
    shape = encoder_shape(name)
    assert shape.model_type == known_encoders()[name]["model_type"]
    assert shape.hidden_size == known_encoders()[name]["hidden_size"]
    assert longest_text(shape) == 512


def test_a_config_json_alone_is_a_shape(tmp_path: Path) -> None:
    shape = encoder_shape(written(tmp_path / "m", model_type="bert", **TINY))
    assert (shape.hidden_size, shape.num_hidden_layers) == (64, 2)


def test_a_cached_config_json_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--me--mine" / "snapshots" / "abc"
    (tmp_path / "models--me--mine" / "refs").mkdir(parents=True)
    (tmp_path / "models--me--mine" / "refs" / "main").write_text("abc")
    snapshot.mkdir(parents=True)
    written(snapshot, model_type="bert", **TINY)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert encoder_shape("me/mine").hidden_size == 64


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta", "electra", "deberta-v2", "distilbert"])
def test_fit_plans_the_encoder_that_training_builds(tmp_path: Path, family: str) -> None:
    name = written(tmp_path / "m", model_type=family, **TINY)
    model = ModelConfig(name=name, dropout_rate=0.2, max_sequence_length=16)
    built = encoder_config(model, tasks=[Task("labels", ("0", "1"))])
    assert encoder_json(with_dropout(encoder_shape(name), 0.2)) == encoder_json(built)


def test_roberta_has_fewer_positions_than_its_table(tmp_path: Path) -> None:
    name = written(tmp_path / "m", model_type="roberta", max_position_embeddings=66, pad_token_id=1, **TINY)
    assert longest_text(encoder_shape(name)) == 64


def test_the_builtin_model_has_its_largest_vocabulary() -> None:
    assert encoder_shape("builtin:tiny").vocab_size > 8000
    with pytest.raises(ModelError, match="only builtin"):
        encoder_shape("builtin:huge")


def test_an_unknown_name_is_answered_with_the_nearest_and_the_ways_out() -> None:
    with pytest.raises(ModelError) as caught:
        encoder_shape("hfl/chinese-macbert-bas")
    message = str(caught.value)
    assert "did you mean hfl/chinese-macbert-base?" in message
    assert "config.json" in message
    assert "\n" not in message


def test_a_name_that_is_no_name_is_said_to_be_none() -> None:
    with pytest.raises(ModelError, match="neither a directory nor the name"):
        encoder_shape("/no/such/directory")


def test_a_directory_without_a_config_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        encoder_shape(str(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"model_type": "nonesuch"}',
        '{"model_type": "bert", "hidden_size": "wide"}',
        '{"model_type": "bert", "hidden_size": -8}',
        '{"model_type": "bert", "hidden_size": 100, "num_attention_heads": 12}',
        '{"model_type": "bert", "num_attention_heads": 0}',
        '{"model_type": "vit"}',
        '{"auto_map": {"AutoConfig": "code.Mine"}, "model_type": "mine"}',
    ],
)
def test_a_config_json_that_is_none_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError) as caught:
        encoder_shape(str(tmp_path))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_the_module_itself_imports_no_torch() -> None:
    program = "import sys, trainer.memory.encoders; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"model_type": "bart"}, "has a decoder"), ({"model_type": "gpt2"}, "has no padding token")],
)
def test_what_is_no_encoder_is_refused(tmp_path: Path, settings: dict[str, str], reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        encoder_shape(written(tmp_path / "m", **settings))


def test_a_model_without_a_limit_on_positions_has_none(tmp_path: Path) -> None:
    name = written(tmp_path / "m", model_type="xlnet", d_model=64, n_layer=2, n_head=4, vocab_size=50)
    assert longest_text(encoder_shape(name)) is None
