from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainer.assess.rule import answers_of
from trainer.baseline import LabelledTexts, tfidf_baseline
from trainer.data.read import Table, label_matrix, read_table, require_learnable
from trainer.data.sample import LABEL_NOISE, MIN_ROWS, SCENARIOS, WORDS, write_sample
from trainer.data.tasks import BUILTIN
from trainer.errors import DataError, UserError
from trainer.metrics import score


def sample(directory: Path, *, rows: int = 1000, seed: int = 42) -> dict[str, Table]:
    return {name: read_table(path) for name, path in write_sample(directory, rows=rows, seed=seed).items()}


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_sample(tmp_path / name, rows=200, seed=7)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_another_seed_gives_other_comments(tmp_path: Path) -> None:
    texts = [set(sample(tmp_path / str(seed), rows=200, seed=seed)["train"].texts) for seed in (1, 2)]
    assert len(texts[0] & texts[1]) < 20


def test_rows_are_split_in_eight_one_and_one_tenths(tmp_path: Path) -> None:
    tables = sample(tmp_path, rows=1005)
    assert {name: len(table) for name, table in tables.items()} == {"train": 805, "val": 100, "test": 100}


def test_no_text_occurs_twice_in_any_of_the_files(tmp_path: Path) -> None:
    texts = [text for table in sample(tmp_path).values() for text in table.texts]
    assert len(texts) == len(set(texts)) == 1000


@pytest.mark.parametrize("seed", range(5))
def test_the_smallest_sample_can_be_learnt_from(tmp_path: Path, seed: int) -> None:
    train = sample(tmp_path, rows=MIN_ROWS, seed=seed)["train"]
    labels = label_matrix(train, tasks=BUILTIN)
    require_learnable(train, labels, BUILTIN)


def test_every_class_of_every_task_is_well_represented(tmp_path: Path) -> None:
    labels_NT = label_matrix(sample(tmp_path)["train"], tasks=BUILTIN)
    for column, task in enumerate(BUILTIN):
        shares = np.bincount(labels_NT[:, column], minlength=len(task.classes)) / len(labels_NT)
        assert shares.min() > 0.06, task.name
        assert shares.max() < 0.75, task.name


def test_tasks_are_correlated_but_none_follows_from_another(tmp_path: Path) -> None:
    labels_NT = label_matrix(sample(tmp_path)["train"], tasks=BUILTIN)
    toxic, bullying = labels_NT[:, 0] > 0, labels_NT[:, 1] > 0
    assert 0.2 < np.corrcoef(toxic, bullying)[0, 1] < 0.8


def test_lengths_vary_from_a_few_characters_to_a_paragraph(tmp_path: Path) -> None:
    lengths = [len(text) for text in sample(tmp_path)["train"].texts]
    assert min(lengths) < 8
    assert 70 < max(lengths) <= 130


def test_insulting_words_occur_in_harmless_comments_too(tmp_path: Path) -> None:
    table = sample(tmp_path)["train"]
    insulting = [any(word in text for word in WORDS["insult"]) for text in table.texts]
    harmless = label_matrix(table, tasks=BUILTIN)[:, 0] == 0
    assert 0.25 < harmless[insulting].mean() < 0.75


def test_every_slot_of_every_template_has_words() -> None:
    slots = {
        part.split("}")[0] for scene in SCENARIOS for one in scene.templates for part in one.split("{")[1:]
    }
    assert slots <= set(WORDS)


def test_the_sample_is_learnable_but_not_trivial(tmp_path: Path) -> None:
    tables = sample(tmp_path, rows=2000)
    train, test = (
        LabelledTexts(tables[name].texts, label_matrix(tables[name], tasks=BUILTIN))
        for name in ("train", "test")
    )
    found = tfidf_baseline(train, val=None, test=test, tasks=BUILTIN)
    given_NT = answers_of(found.probabilities).labels_NT
    assert 0.70 < score(given_NT, test.labels_NT, tasks=BUILTIN).f1_macro < 0.90


def test_the_readme_declares_the_set_synthetic_and_its_noise(tmp_path: Path) -> None:
    sample(tmp_path)
    readme = (tmp_path / "README.txt").read_text(encoding="utf-8")
    assert readme.startswith("SYNTHETIC DATA")
    assert f"{LABEL_NOISE:.0%}" in readme
    assert "emotion_labels: negative, neutral, positive" in readme


def test_a_sample_may_replace_a_sample(tmp_path: Path) -> None:
    sample(tmp_path, rows=200)
    assert len(sample(tmp_path, rows=300)["train"]) == 240


def test_a_sample_never_replaces_other_data(tmp_path: Path) -> None:
    (tmp_path / "val.jsonl").write_text('{"text": "mine"}\n')
    before = contents(tmp_path)
    with pytest.raises(DataError, match=r"val\.jsonl: exists and is not a sample set"):
        sample(tmp_path)
    assert contents(tmp_path) == before


def test_a_sample_too_small_for_every_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"ask for {MIN_ROWS} or more"):
        write_sample(tmp_path / "new", rows=MIN_ROWS - 1, seed=0)
    assert not (tmp_path / "new").exists()
