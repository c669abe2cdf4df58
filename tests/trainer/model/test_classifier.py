from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tests.trainer.model.families import NAMES, save_encoder
from trainer.config.schema import ModelConfig, Pooling
from trainer.data.tasks import Task
from trainer.model.build import build_model, load_tokenizer
from trainer.model.classifier import Classifier, mean_pooled

TASKS = [Task("labels", ("no", "yes"))]
POOLINGS: list[Pooling] = ["cls", "mean", "last4"]


def classifier(directory: Path, family: str, pooling: Pooling) -> Classifier:
    save_encoder(family, directory, texts=["你好世界再見"])
    model = ModelConfig(name=str(directory), max_sequence_length=32, pooling=pooling)
    size = len(load_tokenizer(model, texts=[]))
    return build_model(model, tasks=TASKS, vocabulary_size=size).eval()


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", NAMES)
def test_padding_and_neighbours_do_not_change_a_texts_logits(
    tmp_path: Path, family: str, pooling: Pooling
) -> None:
    model = classifier(tmp_path / "m", family, pooling)
    ids_BL = torch.tensor([[2, 5, 6, 7, 8, 3], [2, 6, 3, 0, 0, 0]])
    mask_BL = (ids_BL != 0).long()
    with torch.inference_mode():
        together_BC = model(ids_BL, mask_BL)
        alone_BC = model(ids_BL[1:, :3], mask_BL[1:, :3])
    torch.testing.assert_close(together_BC[1:], alone_BC, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together_BC[0], together_BC[1])


@pytest.mark.parametrize("family", NAMES)
def test_poolings_differ(tmp_path: Path, family: str) -> None:
    ids_BL = torch.tensor([[2, 5, 6, 7, 8, 3]])
    torch.manual_seed(0)
    model = classifier(tmp_path / "m", family, "cls")
    found = []
    for pooling in POOLINGS:
        model.pooling = pooling
        with torch.inference_mode():
            found.append(model(ids_BL, torch.ones_like(ids_BL)))
    assert not torch.allclose(found[0], found[1])
    assert not torch.allclose(found[0], found[2])
    assert not torch.allclose(found[1], found[2])


@pytest.mark.parametrize("family", NAMES)
def test_the_head_over_the_first_token_is_the_familys_own_forward(tmp_path: Path, family: str) -> None:
    model = classifier(tmp_path / "m", family, "cls")
    ids_BL = torch.tensor([[2, 5, 6, 7, 8, 3]])
    with torch.inference_mode():
        own_BC = model(ids_BL, torch.ones_like(ids_BL))
        hidden_BLD = model.net.base_model(ids_BL, attention_mask=torch.ones_like(ids_BL)).last_hidden_state
        torch.testing.assert_close(model._head(hidden_BLD[:, :1]), own_BC)


def test_the_mean_is_over_a_texts_own_tokens_and_normalised() -> None:
    hidden_BLD = torch.randn(2, 4, 8)
    mask_BL = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    found_BD = mean_pooled(hidden_BLD, mask_BL)
    torch.testing.assert_close(found_BD[1], F.layer_norm(hidden_BLD[1, :2].mean(0), (8,), eps=1e-12))
    torch.testing.assert_close(found_BD.mean(1), torch.zeros(2), atol=1e-6, rtol=0)


def test_the_last_four_are_the_mean_of_their_first_tokens(tmp_path: Path) -> None:
    model = classifier(tmp_path / "m", "bert", "last4")
    ids_BL = torch.tensor([[2, 5, 6, 3]])
    mask_BL = torch.ones_like(ids_BL)
    with torch.inference_mode():
        states = model.net.base_model(ids_BL, attention_mask=mask_BL, output_hidden_states=True).hidden_states
        assert len(states) == 3  # two layers and the embeddings: fewer than four are all taken
        expected_BD = sum(state[:, 0] for state in states) / 3
        torch.testing.assert_close(model(ids_BL, mask_BL), model._head(expected_BD.unsqueeze(1)))
