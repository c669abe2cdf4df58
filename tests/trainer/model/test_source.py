from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.model.families import save_encoder
from trainer.errors import ModelError
from trainer.model.source import require_model


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("builtin:large", "there is no builtin:large; the only builtin model is builtin:tiny"),
        ("/no/such/place", "the directory /no/such/place does not exist"),
        ("./missing", "the directory ./missing does not exist"),
        ("a/b/c", "the directory a/b/c does not exist"),
        ("not a name!", "neither a directory nor a hub id"),
    ],
)
def test_a_model_that_cannot_be_had_is_said_with_its_reason(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        require_model(name)


def test_a_directory_without_config_or_weights_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"it has no config\.json"):
        require_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match=r"no weights \(model\.safetensors\)"):
        require_model(str(tmp_path))


def test_a_saved_model_and_the_builtin_can_be_had(tmp_path: Path) -> None:
    require_model(str(save_encoder("bert", tmp_path / "m", texts=["你好"])))
    require_model("builtin:tiny")


def test_a_hub_model_that_is_not_here_is_said_with_the_three_ways_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        require_model("hfl/no-such-model-here")
    message = str(caught.value)
    assert "\n" not in message
    assert all(
        way in message for way in ("(1)", "go online", "(2)", "hf download", "(3)", "--set model.name=DIR")
    )
