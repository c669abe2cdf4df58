"""What is found out before a study is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.preflight import preflight, require_arithmetic
from search.space import Space, load_space
from trainer import UserError, parse_card


def space_with(tmp_path: Path, pooling: str, *, retrain: bool = True) -> Space:
    """A small space on a sample that preflight makes, with these choices of pooling."""
    path = tmp_path / "space.yaml"
    path.write_text(
        "name: small\nbase: fast_dev\n"
        f"set: {{model.name: 'builtin:tiny', data.train_path: {tmp_path}/data/train.jsonl, "
        f"data.val_path: {tmp_path}/data/val.jsonl}}\n"
        "sample: {rows: 100, seed: 1}\n"
        f"search:\n  model.pooling: {{type: categorical, choices: {pooling}}}\n"
        f"budget: {{trials: 1}}\nfinish: {{retrain: {str(retrain).lower()}}}\n",
        encoding="utf-8",
    )
    return load_space(str(path))


def test_a_missing_sample_is_made_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    preflight(space_with(tmp_path, "[cls, mean]"), say=said.append)
    assert (tmp_path / "data" / "train.jsonl").is_file()
    assert any("100 made-up comments" in line for line in said)


def test_a_pooling_that_cannot_be_exported_is_refused_at_its_place(tmp_path: Path) -> None:
    refusal = r"space\.yaml:\d+:\d+: model.pooling last4: .* finish.retrain: false"
    with pytest.raises(UserError, match=refusal):
        preflight(space_with(tmp_path, "[cls, last4]"), say=lambda line: None)
    assert not (tmp_path / "data").exists()


def test_a_study_that_exports_nothing_may_search_any_pooling(tmp_path: Path) -> None:
    preflight(space_with(tmp_path, "[cls, last4]", retrain=False), say=lambda line: None)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("set: {training.bf16: true}\nsearch: {training.learning_rate: {type: float, low: 1e-5, high: 1e-4}}",
         r"training\.bf16 \(.*half\.yaml:3\): t4 has no bfloat16"),
        ("search: {training.bf16: {type: categorical, choices: [false, true]}}",
         r"half\.yaml:3:\d+: training\.bf16: t4 has no bfloat16"),
        ("finish: {set: {training.bf16: true}}\n"
         "search: {training.learning_rate: {type: float, low: 1e-5, high: 1e-4}}",
         r"half\.yaml:3:\d+: training\.bf16: t4 has no bfloat16"),
    ],
)  # fmt: skip
def test_bf16_on_a_card_without_it_is_refused_where_it_was_asked_for(
    tmp_path: Path, content: str, place: str
) -> None:
    path = tmp_path / "half.yaml"
    path.write_text(f"name: half\nbase: fast_dev\n{content}\nbudget: {{trials: 1}}\n", encoding="utf-8")
    space = load_space(str(path))
    require_arithmetic(space, cards=[parse_card("rtx3050"), parse_card("4GiB")])
    with pytest.raises(UserError, match=place):
        require_arithmetic(space, cards=[parse_card("rtx3050"), parse_card("t4")])
