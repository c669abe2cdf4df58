"""Training the rows of the tokens that occur gives what training the whole table gives."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from transformers import BertConfig, BertForSequenceClassification

from trainer.memory.allocator import rounded
from trainer.memory.card import CardSpec
from trainer.memory.virtual import VirtualCard
from trainer.model.vocabulary import (
    narrowed_state,
    planned_rows,
    train_occurring_tokens,
    widened_state,
)

TOKENS = 50
#: of these, what `SEEN` is without is the filler's 0, which is the padding's as well
OCCURRING = [3, 7, 8, 20, 49]
SEEN = torch.tensor([0, *OCCURRING])
OTHERS = torch.tensor([index for index in range(TOKENS) if index not in SEEN.tolist()])
TABLE = "bert.embeddings.word_embeddings.weight"


@pytest.fixture
def whole() -> BertForSequenceClassification:
    """A model whose vocabulary is trained as a whole, without dropout."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=TOKENS,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertForSequenceClassification(config).train()


@pytest.fixture
def rows(whole: BertForSequenceClassification) -> BertForSequenceClassification:
    """The same model, which trains the rows of `SEEN`."""
    copy = deepcopy(whole)
    train_occurring_tokens(copy, [np.array(OCCURRING[:3]), np.array(OCCURRING[2:])])
    return copy


def optimizer(net: BertForSequenceClassification) -> AdamW:
    return AdamW(net.parameters(), lr=1e-2, weight_decay=0.1, fused=True)


def train(net: BertForSequenceClassification, by: AdamW, *, steps: int) -> None:
    draw = torch.Generator().manual_seed(1)
    for _ in range(steps):
        ids_BL = SEEN[torch.randint(len(SEEN), (4, 6), generator=draw)]
        net(input_ids=ids_BL, labels=torch.tensor([0, 1, 0, 1])).loss.backward()
        clip_grad_norm_(net.parameters(), 0.1)
        by.step()
        by.zero_grad()


def test_the_parameter_is_the_rows_that_occur(rows: BertForSequenceClassification) -> None:
    assert rows.get_input_embeddings().weight.shape == (len(SEEN), 16)
    assert next(name for name, _ in rows.named_parameters()) == TABLE


def test_training_gives_the_same_and_leaves_the_other_rows(
    whole: BertForSequenceClassification, rows: BertForSequenceClassification
) -> None:
    before = whole.state_dict()[TABLE].clone()
    for net in (whole, rows):
        train(net, optimizer(net), steps=5)
    expected, found = whole.state_dict(), rows.state_dict()
    assert list(found) == list(expected)
    assert (found[TABLE][SEEN] - before[SEEN]).abs().max() > 1e-2
    torch.testing.assert_close(found[TABLE][OTHERS], before[OTHERS], rtol=0, atol=0)
    found[TABLE], expected[TABLE] = found[TABLE][SEEN], expected[TABLE][SEEN]
    torch.testing.assert_close(found, expected)


def test_an_evaluation_may_read_any_token(
    whole: BertForSequenceClassification, rows: BertForSequenceClassification
) -> None:
    train(rows, optimizer(rows), steps=3)
    whole.load_state_dict(rows.state_dict())
    ids_BL = torch.arange(TOKENS).reshape(5, 10)
    with torch.no_grad():
        torch.testing.assert_close(rows.eval()(ids_BL).logits, whole.eval()(ids_BL).logits)


def test_a_token_that_does_not_occur_cannot_be_trained(rows: BertForSequenceClassification) -> None:
    with pytest.raises(IndexError, match="token 1 occurs in no training or validation row"):
        rows(OTHERS[:1][None])


def test_beside_others_a_token_has_its_gradient(rows: BertForSequenceClassification) -> None:
    ids_BL = torch.cat([SEEN[1:3], OTHERS[:2]])[None]
    rows.eval()(input_ids=ids_BL).logits.sum().backward()
    gradient_SD = rows.get_input_embeddings().weight.grad
    assert gradient_SD is not None
    assert gradient_SD.abs().sum(1).nonzero().flatten().tolist() == [1, 2]


def test_it_goes_where_the_model_goes(rows: BertForSequenceClassification) -> None:
    assert rows.to(torch.bfloat16).state_dict()[TABLE].dtype == torch.bfloat16


def test_the_whole_table_stays_in_host_memory(rows: BertForSequenceClassification) -> None:
    by = optimizer(rows)
    train(rows, by, steps=1)
    elsewhere = VirtualCard(CardSpec("holds the rows", 2**20, virtual=True))
    taken = sum(rounded(tensor.nbytes) for tensor in (*rows.parameters(), *rows.buffers()))
    with elsewhere:
        elsewhere.adopt(rows)
        elsewhere.limit_bytes = taken + 512
        assert elsewhere.live_bytes() == taken
        state = rows.state_dict()
        rows.load_state_dict(state)
        narrowed_state(rows, by, widened_state(rows, by, by.state_dict()))
        assert elsewhere.live_bytes() == taken
    assert state[TABLE].shape == (TOKENS, 16)
    moved = vars(rows.to("meta").get_input_embeddings()).values()
    assert {value.device.type for value in moved if isinstance(value, torch.Tensor)} == {"cpu"}


@pytest.mark.parametrize(
    ("occurring", "vocabulary", "planned"),
    [(1, 1000, 256), (254, 1000, 256), (255, 1000, 512), (9, 256, None)],
)
def test_rows_are_planned_in_steps_up_to_the_whole_table(
    occurring: int, vocabulary: int, planned: int | None
) -> None:
    ids = [np.arange(1, occurring + 1), np.arange(occurring)]
    assert planned_rows(ids, vocabulary=vocabulary) == planned


def test_weights_of_a_whole_table_are_loaded(
    whole: BertForSequenceClassification, rows: BertForSequenceClassification
) -> None:
    train(whole, optimizer(whole), steps=2)
    stored = {name: value.clone() for name, value in whole.state_dict().items()}
    rows.load_state_dict(stored)
    torch.testing.assert_close(rows.state_dict(), stored, rtol=0, atol=0)
    torch.testing.assert_close(rows.get_input_embeddings().weight.data, stored[TABLE][SEEN], rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="size mismatch"):
        rows.load_state_dict({**stored, TABLE: stored[TABLE][:9]})


def test_the_optimizer_is_stored_as_of_a_whole_table_and_goes_on_from_it(
    whole: BertForSequenceClassification, rows: BertForSequenceClassification
) -> None:
    of_whole, of_rows = optimizer(whole), optimizer(rows)
    train(whole, of_whole, steps=3)
    train(rows, of_rows, steps=3)
    stored = widened_state(rows, of_rows, of_rows.state_dict())
    torch.testing.assert_close(stored, of_whole.state_dict())
    assert widened_state(whole, of_whole, stored) is stored
    again = narrowed_state(rows, of_rows, stored)
    torch.testing.assert_close(again, of_rows.state_dict(), rtol=0, atol=0)


def test_a_copy_has_a_table_of_its_own(rows: BertForSequenceClassification) -> None:
    copy = deepcopy(rows)
    before = copy.state_dict()[TABLE].clone()
    train(rows, optimizer(rows), steps=1)
    assert not torch.equal(rows.state_dict()[TABLE], before)
    assert torch.equal(copy.state_dict()[TABLE], before)


def test_a_frozen_table_is_read_whole_and_stays_frozen(whole: BertForSequenceClassification) -> None:
    whole.get_input_embeddings().weight.requires_grad_(False)
    rows = deepcopy(whole)
    train_occurring_tokens(rows, [np.array(OCCURRING)])
    assert rows.get_input_embeddings().weight.shape == (len(SEEN), 16)
    ids_BL = torch.arange(TOKENS)[None]
    assert torch.equal(rows(ids_BL).logits, whole(ids_BL).logits)
    trained = AdamW([one for one in rows.parameters() if one.requires_grad], lr=1e-2)
    rows(ids_BL, labels=torch.tensor([1])).loss.backward()
    trained.step()
    assert torch.equal(rows.state_dict()[TABLE], whole.state_dict()[TABLE])
    state = trained.state_dict()
    assert widened_state(rows, trained, state) is state
    assert narrowed_state(rows, trained, state) is state
