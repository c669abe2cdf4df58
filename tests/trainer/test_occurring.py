"""A run on a CPU trains the rows of tokens that occur, and its checkpoints go on with or without that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.model.families import save_encoder
from tests.trainer.runs import Watcher, difference, make_config, weights_of
from trainer import assembly
from trainer.config.schema import Config
from trainer.model.vocabulary import OccurringTokens, train_occurring_tokens
from trainer.outcome import Outcome
from trainer.runner import run

TABLE = "bert.embeddings.word_embeddings.weight"
#: characters of no row, beside those of all
OTHERS = "".join(chr(0x4E00 + index) for index in range(300))
ROWS = "的是不了人我在有他這中大來上國個到說們為爛好0123456789"
#: one epoch and two steps more
STOP = 7


def with_vocabulary(directory: Path, **settings: Any) -> Config:
    """An encoder most of whose vocabulary occurs in no row."""
    encoder = directory / "encoder"
    if not encoder.exists():
        save_encoder("bert", encoder, texts=[ROWS, OTHERS])
    return make_config(directory, model__name=str(encoder), training__weight_decay=0.0, **settings)


def table_of(directory: Path) -> torch.Tensor:
    return weights_of(directory)[TABLE]


def test_the_rows_that_do_not_occur_stay_as_they_were_pretrained(tmp_path: Path) -> None:
    config = with_vocabulary(tmp_path)
    assert run(config, directory=tmp_path / "run").status == "completed"
    before = load_file(tmp_path / "encoder" / "model.safetensors")
    (pretrained,) = (value for name, value in before.items() if "word_embeddings" in name)
    changed = (table_of(tmp_path / "run") != pretrained).any(1)
    assert len(changed) > 300
    assert 10 < int(changed.sum()) < 60


@pytest.mark.parametrize("first", ["rows", "whole"])
@pytest.mark.parametrize("then", ["rows", "whole"])
def test_a_checkpoint_goes_on_either_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, then: str
) -> None:
    config = with_vocabulary(tmp_path, experiment__checkpoint_interval_s=0.0)

    def trained(how: str, name: str, **more: Any) -> Outcome:
        # "whole" as on a card, or by an earlier version
        used = train_occurring_tokens if how == "rows" else lambda _net, _ids: None
        monkeypatch.setattr(assembly, "train_occurring_tokens", used)
        return run(config, directory=tmp_path / name, **more)

    assert trained(first, "broken", observer=Watcher(stop_at=STOP)).status == "interrupted"
    state = torch.load(tmp_path / "broken" / "checkpoints" / "last" / "state.pt", weights_only=True)
    moments = state["optimizer"]["state"].values()
    assert any(one["exp_avg"].shape[0] > 300 for one in moments)
    assert trained(then, "broken").status == "completed"
    assert trained("whole", "unbroken").status == "completed"
    assert difference(weights_of(tmp_path / "broken"), weights_of(tmp_path / "unbroken")) < 1e-5


@pytest.mark.parametrize(
    ("settings", "by_rows"),
    [
        ({}, True),
        ({"optimization__optimizer": "Adafactor"}, False),
        ({"training__trained_layers": 1}, False),
    ],
    ids=["AdamW", "Adafactor", "frozen"],
)
def test_who_trains_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], by_rows: bool
) -> None:
    found: list[bool] = []
    parts = assembly.Assembly.parts

    def looked_at(self: assembly.Assembly, *, watched: bool) -> Any:
        made = parts(self, watched=watched)
        found.append(isinstance(made.step.model.net.get_input_embeddings(), OccurringTokens))
        return made

    monkeypatch.setattr(assembly.Assembly, "parts", looked_at)
    run(with_vocabulary(tmp_path, training__num_epochs=1, **settings), directory=tmp_path / "run")
    assert found == [by_rows]
