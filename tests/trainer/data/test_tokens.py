from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.data.tokens import CHUNK_TEXTS, Tokens, special_ids, tokenise, tokenizer_digest
from trainer.errors import DataError, ModelError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "你", "不", "是", "笨", "蛋", "好"]
TEXTS = ["你是笨蛋", "你不是笨蛋", "好", "你☃好"]
MANY = [f"{number % 90 + 10}" for number in range(CHUNK_TEXTS + 5)]
SHARED = Path(__file__).parents[4] / "shared"


def real_tokenizer(words: Sequence[str] = WORDS, **choices: Any) -> Any:
    """A character tokenizer of the usual kind, with BERT's or XLM-R's way of framing a text."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(words)}
    frame = choices.pop("frame", "[CLS] $A [SEP]")
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = Split(Regex("."), "isolated")
    specials = [(word, vocabulary[word]) for word in ("[CLS]", "[SEP]")]
    backend.post_processor = TemplateProcessing(single=frame, special_tokens=specials)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **{**names, "model_max_length": 512, **choices})


class CodePoints:
    """A tokenizer in plain Python: a character's id is its code point, 1 before a text and 2 behind it.

    `before` is called each time a whole list of texts is tokenised.
    """

    model_max_length, pad_token_id, unk_token_id = 512, 0, None

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        self.before = before
        self.init_kwargs: dict[str, str] = {}

    def get_vocab(self) -> dict[str, int]:
        return {}

    def __call__(self, text: str | list[str], *, add_special_tokens: bool = True, **cut: Any) -> Any:
        if isinstance(text, list):
            self.before()
            return {"input_ids": [[ord(mark) for mark in one][: cut["max_length"]] for one in text]}
        content = [ord(mark) for mark in text]
        return {"input_ids": [1, *content, 2] if add_special_tokens else content}


def tokenised(cache: Path, texts: Sequence[str] = TEXTS, *, by: Any = None) -> Tokens:
    return tokenise(texts, tokenizer=CodePoints() if by is None else by, cache_dir=cache)


def never() -> None:
    raise AssertionError("tokenised again")


def die() -> None:
    os._exit(9)


def build_in_child(cache: Path, before: Callable[[], object]) -> None:
    tokens = tokenised(cache, by=CodePoints(before))
    os._exit(0 if tokens.row(2, 8).tolist() == [1, ord("好"), 2] else 1)


def build_until_killed(cache: Path) -> None:
    def killed(done: int, total: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    tokenise(MANY, tokenizer=CodePoints(), cache_dir=cache, progress=killed)


def children(cache: Path, *befores: Callable[[], object]) -> list[int | None]:
    """Exit codes of processes that build the same entry at once."""
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=build_in_child, args=(cache, before)) for before in befores]
    for child in started:
        child.start()
    for child in started:
        child.join(60)
    return [child.exitcode for child in started]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ("[CLS] $A [SEP]", ((2,), (3,))),
        ("[CLS] $A [SEP] [SEP]", ((2,), (3, 3))),
        ("$A [SEP]", ((), (3,))),
        ("$A", ((), ())),
    ],
)
def test_the_special_tokens_around_a_text_are_found(frame: str, expected: Any) -> None:
    assert special_ids(real_tokenizer(frame=frame)) == expected


@pytest.mark.parametrize("max_length", [3, 5, 6, 7, 64])
def test_rows_equal_what_the_tokenizer_itself_gives(tmp_path: Path, max_length: int) -> None:
    tokenizer = real_tokenizer()
    tokens = tokenised(tmp_path, by=tokenizer)
    for index, text in enumerate(TEXTS):
        expected = tokenizer(text, truncation=True, max_length=max_length)["input_ids"]
        assert tokens.row(index, max_length).tolist() == expected
        assert tokens.lengths(max_length)[index] == len(expected)


@pytest.mark.cold
def test_rows_equal_what_a_sentencepiece_tokenizer_gives(tmp_path: Path) -> None:
    model = SHARED / "models" / "e5-small-zh-l4"
    if not model.is_dir():
        pytest.skip("the small pretrained encoder is not beside the project")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    texts = [*TEXTS, " 空 格  ", "English 123", "😂" * 5, "長" * 2000]
    tokens = tokenised(tmp_path, texts, by=tokenizer)
    for index, text in enumerate(texts):
        for max_length in (8, 512):
            expected = tokenizer(text, truncation=True, max_length=max_length)["input_ids"]
            assert tokens.row(index, max_length).tolist() == expected


def test_ids_are_mapped_from_disk_and_not_loaded(tmp_path: Path) -> None:
    tokens = tokenised(tmp_path)
    assert isinstance(tokens.ids, np.memmap)
    assert isinstance(tokens.offsets, np.memmap)
    assert (tokens.ids.dtype, tokens.offsets.dtype) == (np.int32, np.int64)


def test_rows_that_lose_content_are_counted(tmp_path: Path) -> None:
    tokens = tokenised(tmp_path, ["a" * 4, "a" * 510, "a" * 511, "a" * 5000])
    assert [tokens.truncated(length) for length in (5, 6, 511, 512)] == [4, 3, 3, 2]


def test_no_row_is_longer_than_the_tokenizer_allows(tmp_path: Path) -> None:
    tokens = tokenised(tmp_path, ["a" * 5000])
    assert tokens.lengths(9999).tolist() == [len(tokens.row(0, 9999))] == [512]


def test_a_length_without_room_for_content_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no room"):
        tokenised(tmp_path).lengths(2)


def test_the_unknown_rate_is_a_share_of_all_ids(tmp_path: Path) -> None:
    assert tokenised(tmp_path, ["你好", "☃好"], by=real_tokenizer()).unk_rate == 0.25


def test_texts_without_any_token_are_kept_as_empty_rows(tmp_path: Path) -> None:
    tokens = tokenised(tmp_path, ["", ""])
    assert (len(tokens), tokens.row(1, 8).tolist()) == (2, [1, 2])


def test_the_same_texts_are_tokenised_once(tmp_path: Path) -> None:
    tokenised(tmp_path)
    assert tokenised(tmp_path, by=CodePoints(never)).row(2, 8).tolist() == [1, ord("好"), 2]


def test_texts_cut_elsewhere_get_an_entry_of_their_own(tmp_path: Path) -> None:
    tokenised(tmp_path, ["ab", "c"])
    assert tokenised(tmp_path, ["a", "bc"]).row(0, 8).tolist() == [1, ord("a"), 2]


def test_another_vocabulary_gets_an_entry_of_its_own(tmp_path: Path) -> None:
    other = real_tokenizer([*WORDS[:4], *reversed(WORDS[4:])])
    first = tokenised(tmp_path, by=real_tokenizer()).row(0, 8).tolist()
    assert tokenised(tmp_path, by=other).row(0, 8).tolist() != first


def test_many_texts_are_made_in_chunks_that_join_without_a_seam(tmp_path: Path) -> None:
    texts = ["ab" * (1 + number % 3) for number in range(CHUNK_TEXTS + 5)]
    told: list[tuple[int, int]] = []
    tokens = tokenise(
        texts, tokenizer=CodePoints(), cache_dir=tmp_path, progress=lambda *done: told.append(done)
    )
    assert told == [(CHUNK_TEXTS, len(texts)), (len(texts), len(texts))]
    for row in (0, CHUNK_TEXTS - 1, CHUNK_TEXTS, len(texts) - 1):
        assert tokens.row(row, 512).tolist() == [1, *map(ord, texts[row]), 2]


def test_calling_a_tokenizer_does_not_change_its_digest() -> None:
    tokenizer = real_tokenizer()
    before = tokenizer_digest(tokenizer)
    tokenizer(TEXTS, truncation=True, padding=True, max_length=4)
    assert tokenizer_digest(tokenizer) == before


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no padding token"):
        tokenised(tmp_path, by=real_tokenizer(pad_token=None))
    assert list(tmp_path.iterdir()) == []


def test_two_processes_building_at_once_both_succeed(tmp_path: Path) -> None:
    barrier = multiprocessing.get_context("spawn").Barrier(2, timeout=60)
    assert children(tmp_path, barrier.wait, barrier.wait) == [0, 0]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_process_that_dies_over_an_entry_harms_no_later_one(tmp_path: Path) -> None:
    assert children(tmp_path, die) == [9]
    (left,) = tmp_path.iterdir()
    assert tokenised(tmp_path).row(2, 8).tolist() == [1, ord("好"), 2]
    assert left.exists(), "may belong to a process that is still at it"


def test_an_entry_killed_half_way_through_its_texts_is_made_anew(tmp_path: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(target=build_until_killed, args=(tmp_path,))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert (left / "ids.int32").stat().st_size < 4 * 2 * len(MANY), "half of the ids"
    tokens = tokenised(tmp_path, MANY)
    assert len(tokens) == len(MANY)
    assert tokens.row(len(MANY) - 1, 8).tolist() == [1, *map(ord, MANY[-1]), 2]


def test_what_a_dead_process_left_is_removed_after_a_day(tmp_path: Path) -> None:
    tokenised(tmp_path)
    (entry,) = tmp_path.iterdir()
    left = entry.rename(tmp_path / f".{entry.name}.half")
    os.utime(left, (0, 0))
    tokenised(tmp_path)
    assert [found.name for found in tmp_path.iterdir()] == [entry.name]


def test_an_entry_that_a_clock_set_ahead_swept_away_in_the_making_is_made_again(tmp_path: Path) -> None:
    def sweep() -> None:
        if not swept:
            swept.extend(tmp_path.glob(".*"))
            shutil.rmtree(swept[0])

    swept: list[Path] = []
    made = tokenised(tmp_path, by=CodePoints(sweep))
    assert len(swept) == 1
    assert made.row(2, 8).tolist() == [1, ord("好"), 2]
    assert [found.name.startswith(".") for found in tmp_path.iterdir()] == [False]


@pytest.mark.parametrize("name", ["ids.int32", "offsets.npy", "meta.json"])
def test_a_damaged_entry_is_named_and_not_used(tmp_path: Path, name: str) -> None:
    tokenised(tmp_path)
    (entry,) = tmp_path.iterdir()
    (entry / name).write_bytes((entry / name).read_bytes()[:10])
    with pytest.raises(DataError, match="damaged; delete this directory"):
        tokenised(tmp_path)


def test_a_cache_that_cannot_be_made_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"set data\.cache_dir"):
        tokenised(tmp_path / "file" / "cache")


def test_importing_the_module_loads_neither_torch_nor_transformers() -> None:
    code = "import sys, trainer.data.tokens; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[3]).returncode
        == 0
    )
