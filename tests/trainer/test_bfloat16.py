"""Runs in bfloat16 on a CPU: which are, what they are fed, and that they go on as they began."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.trainer.model.families import save_encoder
from tests.trainer.runs import Watcher, make_config, weights_of
from trainer.data.packs import PackedBatch
from trainer.model.classifier import Classifier
from trainer.runner import run
from trainer.step import BF16_TOKENS

Processor = Callable[[str], None]


@pytest.fixture(autouse=True)
def amx(processor: Processor) -> None:
    processor("amx_bf16")


def precision_of(directory: Path) -> str:
    return str(json.loads((directory / "training_summary.json").read_text("utf-8"))["precision"])


@pytest.mark.parametrize(("mixed", "precision"), [(True, "bf16"), (False, "fp32")])
def test_packs_of_steps_and_evaluations_are_filled_up_in_bfloat16_alone(
    mixed: bool, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, int]] = []
    packed = Classifier.packed

    def watched(self: Classifier, batch: PackedBatch) -> torch.Tensor:
        seen.append((self.training, len(batch.ids_T)))
        return packed(self, batch)

    monkeypatch.setattr(Classifier, "packed", watched)
    run(make_config(tmp_path, training__fp16=mixed), directory=tmp_path / "run")
    assert precision_of(tmp_path / "run") == precision
    for training in (True, False):
        tokens = [count for trained, count in seen if trained is training]
        assert tokens
        assert all(count % BF16_TOKENS == 0 for count in tokens) is mixed


@pytest.mark.parametrize(
    ("family", "efficient", "said"),
    [
        ("deberta-v2", True, "texts of deberta-v2 are padded on a CPU, in too many shapes"),
        (
            "bert",
            False,
            "texts of bert are padded on a CPU without optimization.memory_efficient_attention, in too many",
        ),
        ("bert", True, None),
    ],
)
def test_who_takes_no_packs_stays_with_float32_and_is_told(
    family: str, efficient: bool, said: str | None, tmp_path: Path
) -> None:
    save_encoder(family, tmp_path / "model", texts=["你好世界再見"])
    watcher = Watcher()
    config = make_config(
        tmp_path,
        model__name=str(tmp_path / "model"),
        training__fp16=True,
        training__num_epochs=1,
        optimization__memory_efficient_attention=efficient,
    )
    run(config, directory=tmp_path / "run", observer=watcher)
    told = [line for line in watcher.lines if line.startswith("arithmetic is float32")]
    assert (told == []) is (said is None)
    assert said is None or said in told[0]
    assert precision_of(tmp_path / "run") == ("bf16" if said is None else "fp32")


def test_an_interrupted_run_goes_on_to_the_same_model(tmp_path: Path) -> None:
    config = make_config(tmp_path, training__fp16=True, experiment__checkpoint_interval_s=0.0)
    run(config, directory=tmp_path / "whole")
    run(config, directory=tmp_path / "broken", observer=Watcher(stop_at=4))
    run(config, directory=tmp_path / "broken")
    whole, broken = weights_of(tmp_path / "whole"), weights_of(tmp_path / "broken")
    assert all(torch.equal(broken[name], whole[name]) for name in whole)
    assert precision_of(tmp_path / "broken") == "bf16"
