from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.model.tiny import MAX_VOCABULARY, SPECIAL, tiny_tokenizer


def test_the_vocabulary_is_special_tokens_then_characters_by_frequency() -> None:
    vocabulary = tiny_tokenizer(["好好好 壞", "壞 a"]).get_vocab()
    ranked = sorted(vocabulary, key=lambda piece: vocabulary[piece])
    assert ranked == [*SPECIAL, "好", "壞", "a", "##a"]


def test_the_order_of_texts_does_not_matter() -> None:
    texts = ["你好", "世界 ab", "好 b"]
    assert tiny_tokenizer(texts).get_vocab() == tiny_tokenizer(texts[::-1]).get_vocab()


def test_every_character_of_the_training_texts_is_known() -> None:
    tokenizer = tiny_tokenizer(["Hello 世界，你好！42"])
    ids = tokenizer("hello 世界，你好！24")["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.unk_token_id in tokenizer("恨")["input_ids"]


def test_ids_start_with_cls_and_end_with_sep() -> None:
    tokenizer = tiny_tokenizer(["你好"])
    ids = tokenizer("你好")["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert tokenizer.pad_token_id == 0


@pytest.mark.slow
@given(st.lists(st.text(max_size=40), max_size=5))
def test_any_texts_make_a_tokenizer_with_ids_inside_its_vocabulary(texts: list[str]) -> None:
    tokenizer = tiny_tokenizer(texts)
    ids = tokenizer("".join(texts) or "x")["input_ids"]
    assert max(ids) < len(tokenizer)
    assert len(set(tokenizer.get_vocab().values())) == len(tokenizer) <= MAX_VOCABULARY + 100
