"""Packed texts: the same logits and gradients as padded ones, in every family that can be packed."""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.trainer.data.test_batches import tokens_of
from tests.trainer.model.families import save_encoder
from tests.trainer.model.test_classifier import POOLINGS, TASKS
from trainer.config.schema import Checkpointing, ModelConfig, Pooling
from trainer.data.batches import collate
from trainer.data.packs import PackedBatch, pack_rows, packs
from trainer.data.tokens import Tokens
from trainer.evaluation import infer
from trainer.forward import Forward
from trainer.loss import MultiTaskLoss
from trainer.memory.open_card import open_card
from trainer.memory.recovery import Recovery, TokenBudget
from trainer.model.build import build_model, checkpoint_layers, load_tokenizer
from trainer.model.classifier import Classifier
from trainer.model.packed import PACKED_FAMILIES
from trainer.step import Precision

ROWS = 12


def texts() -> Tokens:
    """Texts of 3 to 30 tokens, special tokens included."""
    generator = np.random.default_rng(4)
    contents = [generator.integers(5, 10, length).tolist() for length in generator.integers(1, 29, ROWS)]
    tokens = tokens_of(*contents)
    return Tokens(tokens.ids, tokens.offsets, prefix=(2,), suffix=(3,), pad_id=0)


def classifier(directory: Path, family: str, pooling: Pooling) -> Classifier:
    save_encoder(family, directory, texts=["你好世界再見"])
    model = ModelConfig(name=str(directory), max_sequence_length=32, pooling=pooling, dropout_rate=0.0)
    size = len(load_tokenizer(model, texts=[]))
    return build_model(model, tasks=TASKS, vocabulary_size=size).train()


def outcome(model: Classifier, logits_BC: torch.Tensor, labels_BT: torch.Tensor) -> list[torch.Tensor]:
    """Logits, loss, and the gradient of every parameter that has one."""
    loss = MultiTaskLoss(TASKS, weights=[[1.0, 1.0]], label_smoothing=0.0)(
        model.split(logits_BC), labels_BT, [float(ROWS)]
    )
    model.zero_grad()
    loss.backward()
    grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    return [logits_BC.detach(), loss.detach(), *grads]


def compare(model: Classifier, *, multiple: int = 1) -> None:
    tokens, labels_NT = texts(), np.arange(ROWS)[:, None] % 2
    (order,) = packs(tokens.lengths(32), token_budget=10_000)
    padded = collate(tokens, order, labels_NT=labels_NT, max_length=32)
    expected = outcome(model, model(padded.ids_BL, padded.mask_BL), padded.labels_BT)
    assert model.use_packing()
    packed = pack_rows(tokens, order, labels_NT=labels_NT, max_length=32, multiple=multiple)
    assert len(packed.ids_T) % multiple == 0
    assert any(group.bias_R11W is not None for group in packed.pack.groups)
    found = outcome(model, model.packed(packed), packed.labels_BT)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    # Padded texts are still welcome.
    again = outcome(model, model(padded.ids_BL, padded.mask_BL), padded.labels_BT)
    torch.testing.assert_close(again, expected)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", sorted(PACKED_FAMILIES))
def test_packing_changes_neither_logits_nor_gradients(tmp_path: Path, family: str, pooling: Pooling) -> None:
    compare(classifier(tmp_path / "m", family, pooling))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_filling_a_pack_up_changes_neither_logits_nor_gradients(
    tmp_path: Path, family: str, pooling: Pooling
) -> None:
    compare(classifier(tmp_path / "m", family, pooling), multiple=256)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_bfloat16_gives_nearly_the_same_and_float32_logits(tmp_path: Path, pooling: Pooling) -> None:
    model = classifier(tmp_path / "m", "bert", pooling)
    model.use_packing()
    exact = outcome(model, model.packed(one_pack()), one_pack().labels_BT)
    with Precision("cpu", torch.bfloat16).autocast():
        logits_BC = model.packed(one_pack())
    assert logits_BC.dtype == torch.float32
    near = outcome(model, logits_BC, one_pack().labels_BT)
    # All gradients as one: of some that are zero by rights, rounding is all there is.
    for ours, theirs in [(near[:1], exact[:1]), (near[1:], exact[1:])]:
        one, other = (torch.cat([part.flatten() for part in parts]) for parts in (ours, theirs))
        assert (one - other).norm() < 0.05 * other.norm()
    assert not torch.equal(near[0], exact[0])


@pytest.mark.parametrize("setting", [True, "selective"])
def test_packing_goes_with_gradient_checkpointing(tmp_path: Path, setting: Checkpointing) -> None:
    model = classifier(tmp_path / "m", "bert", "cls")
    checkpoint_layers(model.net, setting)
    compare(model)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_an_evaluation_gives_the_same_packed_and_padded(tmp_path: Path, pooling: Pooling) -> None:
    model = classifier(tmp_path / "m", "bert", pooling)
    split: Any = SimpleNamespace(tokens=texts(), labels_NT=np.arange(ROWS)[:, None] % 2)
    packed_calls: list[int] = []

    def logits() -> torch.Tensor:
        with open_card(None, present=None) as card:
            over = partial(Forward(Recovery(card, say=print), TokenBudget(64, 32)).over, where="here")
            return infer(model, split, max_length=32, precision=Precision("cpu"), over=over)

    expected, whole = logits(), model.packed
    assert model.use_packing()
    model.packed = lambda batch: packed_calls.append(len(batch.labels_BT)) or whole(batch)  # type: ignore[method-assign, func-returns-value]  # of this model only
    torch.testing.assert_close(logits(), expected, rtol=1e-4, atol=1e-5)
    assert sum(packed_calls) == ROWS
    assert len(packed_calls) > 1


def one_pack() -> PackedBatch:
    tokens, labels_NT = texts(), np.zeros((ROWS, 1), dtype=np.int64)
    (order,) = packs(tokens.lengths(32), token_budget=10_000)
    return pack_rows(tokens, order, labels_NT=labels_NT, max_length=32)


def rows_of_last_feed_forward(model: Classifier) -> int:
    """How many rows the last layer's widest product is taken over, for all of `texts` in one pack."""
    seen: list[int] = []
    layer = model.net.base_model.encoder.layer[-1]
    handle = layer.intermediate.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
    model.packed(one_pack())
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_last_layer_computes_no_more_than_is_read(tmp_path: Path, pooling: Pooling) -> None:
    model = classifier(tmp_path / "m", "bert", pooling)
    model.use_packing()
    everything = int(texts().lengths(32).sum())
    assert rows_of_last_feed_forward(model) == (everything if pooling == "mean" else ROWS)


def test_a_copy_of_a_packing_model_computes_with_its_own_weights(tmp_path: Path) -> None:
    model = classifier(tmp_path / "m", "bert", "cls").eval()
    model.use_packing()
    copy = deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    batch = one_pack()
    assert model.packed(batch).abs().max() == 0
    assert copy.packed(batch).abs().max() > 0


@pytest.mark.parametrize(("pooling", "layer"), [("cls", -1), ("mean", -1), ("cls", 0)])
def test_attention_dropout_reaches_every_layer(tmp_path: Path, pooling: Pooling, layer: int) -> None:
    model = classifier(tmp_path / "m", "bert", pooling)
    model.use_packing()
    model.net.base_model.encoder.layer[layer].attention.self.dropout.p = 0.5
    batch = one_pack()
    first, second = model.packed(batch), model.packed(batch)
    assert not torch.allclose(first, second)
    assert torch.equal(model.eval().packed(batch), model.packed(batch))


@pytest.mark.parametrize("precision", [Precision("cpu"), Precision("cpu", torch.bfloat16)])
@pytest.mark.parametrize("setting", [True, "selective"])
def test_recomputed_activations_draw_the_same_dropout_again(
    tmp_path: Path, setting: Checkpointing, precision: Precision
) -> None:
    def gradients(recomputed: Checkpointing) -> list[torch.Tensor]:
        model = classifier(tmp_path / "m", "bert", "cls")
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.3
        checkpoint_layers(model.net, recomputed)
        model.use_packing()
        torch.manual_seed(1)
        with precision.autocast():
            logits_BC = model.packed(one_pack())
        return outcome(model, logits_BC, one_pack().labels_BT)

    for ours, theirs in zip(gradients(setting), gradients(False), strict=True):
        assert torch.equal(ours, theirs)


def test_a_family_with_an_attention_of_its_own_is_not_packed(tmp_path: Path) -> None:
    assert not classifier(tmp_path / "m", "deberta-v2", "cls").use_packing()
