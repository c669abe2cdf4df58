"""A space drafted for somebody's own data says what was seen and loads as it stands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from search.draft import DraftRequest, draft_space, write_draft
from search.space import load_space
from tests.conftest import CommandLine
from trainer import CardSpec, parse_card


def write(path: Path, labels: Sequence[int], *, characters: int = 10) -> Path:
    """A file with a row for each label; every text is different and `characters` long."""
    rows = [
        {"text": f"{index:04}".ljust(characters, "字"), "labels": label} for index, label in enumerate(labels)
    ]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")
    return path


def request(
    directory: Path, labels: Sequence[int], *, characters: int = 10, **changes: object
) -> DraftRequest:
    given = {
        "path": directory / "mine.yaml",
        "train": write(directory / "train.jsonl", labels, characters=characters),
        "val": write(directory / "val.jsonl", [0, 1] * 5),
        "test": None,
        "model": "builtin:tiny",
        "card": None,
        **changes,
    }
    return DraftRequest(**given)  # type: ignore[arg-type]  # the values above are of the fields' types


def test_a_draft_loads_and_searches_what_it_says(tmp_path: Path) -> None:
    asked = request(tmp_path, [0, 1] * 50)
    write_draft(draft_space(asked), asked.path)
    space = load_space(str(asked.path))
    assert space.name == "mine"
    assert space.enqueue
    assert set(space.enqueue[0]) == set(space.search)
    assert space.base_config().config.data.train_path == str(asked.train)


def test_a_draft_shows_how_to_confirm_and_loads_with_it(tmp_path: Path) -> None:
    asked = request(tmp_path, [0, 1] * 50)
    draft = draft_space(asked)
    asked.path.write_text(draft.text.replace("# confirm:", "confirm:"), encoding="utf-8")
    confirm = load_space(str(asked.path)).finish.confirm
    assert confirm is not None
    assert (confirm.top_k, confirm.seeds) == (3, 3)


@pytest.mark.parametrize(("labels", "weighted"), [([0, 1] * 50, False), ([0] * 90 + [1] * 10, True)])
def test_class_weights_are_searched_only_where_a_class_is_rare(
    labels: list[int], weighted: bool, tmp_path: Path
) -> None:
    text = draft_space(request(tmp_path, labels)).text
    assert ("training.class_weights:" in text) == weighted
    assert ("10.0 % of the rows" in text) == weighted


def test_long_texts_get_long_sequences_but_never_more_than_512(tmp_path: Path) -> None:
    short = draft_space(request(tmp_path, [0, 1] * 50, characters=20)).text
    long = draft_space(request(tmp_path, [0, 1] * 50, characters=900)).text
    assert "model.max_sequence_length: 32\n" in short
    assert "model.max_sequence_length: 512\n" in long


@pytest.mark.parametrize(
    ("model", "low"),
    [("builtin:tiny", "3.0e-04"), ("hfl/rbt3", "5.0e-06"), ("hfl/chinese-macbert-base", "5.0e-06")],
)
def test_learning_rates_follow_from_the_kind_of_encoder(model: str, low: str, tmp_path: Path) -> None:
    draft = draft_space(request(tmp_path, [0, 1] * 50, model=model))
    assert f"low: {low}" in draft.text


def test_without_a_tokenizer_lengths_are_characters_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    draft = draft_space(request(tmp_path, [0, 1] * 50, model="hfl/chinese-macbert-base"))
    assert "Length in characters" in draft.text
    assert any("no tokenizer yet" in note for note in draft.notes)


@pytest.mark.parametrize(
    ("card", "base"),
    [(parse_card("rtx3050"), "rtx3050_optimized"), (parse_card("t4"), "hyperparameter_search")],
)
def test_a_small_card_takes_the_template_made_for_it(card: CardSpec, base: str, tmp_path: Path) -> None:
    text = draft_space(request(tmp_path, [0, 1] * 50, card=card)).text
    assert f"base: {base}\n" in text
    assert f"name: {card.name}" in text


def test_what_data_check_would_refuse_is_said(tmp_path: Path) -> None:
    asked = request(tmp_path, [0, 1] * 50)
    leak = asked.train.read_text(encoding="utf-8").splitlines()[0]
    asked.val.write_text(asked.val.read_text(encoding="utf-8") + leak + "\n", encoding="utf-8")
    assert any("also in train" in note for note in draft_space(asked).notes)


@pytest.mark.slow
def test_a_space_that_is_there_is_not_replaced_without_being_told(
    cp_search: CommandLine, tmp_path: Path
) -> None:
    asked = request(tmp_path, [0, 1] * 50)
    words = ["init", str(asked.train), str(asked.val), "--model", "builtin:tiny", "--card", "cpu"]
    assert cp_search(*words).returncode == 0
    before = (tmp_path / "space.yaml").read_text(encoding="utf-8")
    refused = cp_search(*words)
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert (tmp_path / "space.yaml").read_text(encoding="utf-8") == before
    assert cp_search("run", "space.yaml", "--dry-run").returncode == 0
