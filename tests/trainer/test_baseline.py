from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainer.assess.rule import answers_of
from trainer.baseline import STRENGTHS, UNCHOSEN, LabelledTexts, tfidf_baseline
from trainer.config.schema import ModelConfig
from trainer.data.importers import import_cold
from trainer.data.read import MASKED, label_matrix, read_table
from trainer.data.tasks import Task, resolve_tasks
from trainer.errors import UserError
from trainer.metrics import Scores, score

COLD = Path(__file__).parents[3] / "shared" / "data" / "cold"
KIND, SIZE = Task("kind", ("cat", "dog"), 3.0), Task("size", ("small", "big"), 1.0)
TEXTS = ["貓咪喵喵", "小狗汪汪", "一隻貓", "一隻狗"] * 10


def labelled(*columns: list[int], texts: list[str] = TEXTS) -> LabelledTexts:
    return LabelledTexts(texts, np.array(columns).T)


def scores_of(
    train: LabelledTexts, *, test: LabelledTexts, tasks: tuple[Task, ...], val: LabelledTexts | None = None
) -> Scores:
    found = tfidf_baseline(train, val=val, test=test, tasks=tasks)
    return score(answers_of(found.probabilities).labels_NT, test.labels_NT, tasks=tasks)


def test_a_task_that_characters_decide_is_learnt() -> None:
    train = labelled([0, 1, 0, 1] * 10)
    test = labelled([0, 1], texts=["兩隻貓", "兩隻狗"])
    assert scores_of(train, test=test, tasks=(KIND,)).f1_macro == 1.0


def test_the_mean_over_tasks_is_weighted() -> None:
    train = labelled([0, 1, 0, 1] * 10, [0, 0, 1, 1] * 10)
    test = labelled([0, 1], [1, 1], texts=["一隻貓", "小狗汪汪"])
    scores = scores_of(train, test=test, tasks=(KIND, SIZE))
    per_task = {task.name: task.f1_macro for task in scores.tasks}
    assert per_task["kind"] == 1.0
    assert per_task["size"] < 1.0
    assert scores.f1_macro == pytest.approx((3 * per_task["kind"] + per_task["size"]) / 4)


def test_rows_without_a_label_neither_teach_nor_count() -> None:
    kinds = [0, 1, 0, 1] * 10
    train = labelled(kinds + [MASKED] * 4, texts=[*TEXTS, *["貓狗"] * 4])
    test = labelled([0, MASKED], texts=["一隻貓", "一隻貓"])
    scores = scores_of(train, test=test, tasks=(KIND,))
    assert (scores.f1_macro, scores.tasks[0].rows) == (1.0, 1)


def test_one_class_only_is_an_error_that_names_the_task() -> None:
    train = labelled([0, 1, 0, 1] * 10, [1] * 40)
    with pytest.raises(UserError, match="task size has one class only"):
        scores_of(train, test=train, tasks=(KIND, SIZE))


def test_its_strength_is_chosen_on_validation_rows_and_said() -> None:
    train = labelled([0, 1, 0, 1] * 10)
    found = tfidf_baseline(train, val=train, test=train, tasks=(KIND,))
    assert found.strength["kind"] in STRENGTHS
    assert "validation" in found.chosen_on


def test_without_validation_rows_nothing_is_chosen() -> None:
    train = labelled([0, 1, 0, 1] * 10)
    found = tfidf_baseline(train, val=None, test=train, tasks=(KIND,))
    assert found.strength == {"kind": UNCHOSEN}


def test_a_class_that_was_never_seen_is_never_given() -> None:
    train = labelled([0, 2, 0, 2] * 10)
    three = Task("kind", ("cat", "bird", "dog"))
    (shares_NC,) = tfidf_baseline(train, val=None, test=train, tasks=(three,)).probabilities
    assert shares_NC.shape[1] == 3
    assert (shares_NC[:, 1] == 0).all()
    assert shares_NC.sum(1) == pytest.approx(1.0)


@pytest.mark.cold
@pytest.mark.slow
@pytest.mark.parametrize(("limit", "dev", "test"), [(4000, 0.869, 0.768), (None, 0.908, 0.796)])
def test_cold_scores_as_published_for_this_baseline(
    tmp_path: Path, limit: int | None, dev: float, test: float
) -> None:
    if not COLD.is_dir():
        pytest.skip("COLD is not beside the project")
    import_cold(COLD, out=tmp_path, limit_train=limit)
    tables = {name: read_table(tmp_path / f"{name}.jsonl") for name in ("train", "val", "test")}
    tasks = resolve_tasks(ModelConfig(), tables["train"].fields)
    sets = {name: LabelledTexts(one.texts, label_matrix(one, tasks=tasks)) for name, one in tables.items()}
    for name, expected in (("val", dev), ("test", test)):
        scores = scores_of(sets["train"], val=sets["val"], test=sets[name], tasks=tasks)
        assert scores.f1_macro == pytest.approx(expected, abs=0.012)
