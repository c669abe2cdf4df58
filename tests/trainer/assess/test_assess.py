from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.assess.cases import TWO, skewed
from trainer.assess.assess import assess, difference
from trainer.assess.bootstrap import Draws, resample, wilson
from trainer.assess.rule import Answers, answers_of, softmax
from trainer.data.read import label_matrix, read_table
from trainer.data.splits import Rows
from trainer.files import write_text


def rows_in(directory: Path, *, count: int = 200) -> tuple[Rows, Answers]:
    """Rows with a topic, a kind that rows of class 0 alone have, and an id; and answers to them."""
    logits_NC, labels_NT = skewed(count, shift=0.4)
    lines = [
        {
            "text": f"文字 {index}",
            "labels": int(label),
            "topic": ("race", "region")[index % 2],
            "kind": "harmless" if label == 0 else "insult",
            "id": f"row {index}",
        }
        for index, (label,) in enumerate(labels_NT.tolist())
    ]
    path = directory / "test.jsonl"
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    table = read_table(path)
    return Rows(table, label_matrix(table, tasks=(TWO,))), answers_of([softmax(logits_NC)])


def test_the_interval_holds_the_score_and_is_the_same_every_time(tmp_path: Path) -> None:
    rows, given = rows_in(tmp_path)
    first, second = (assess(rows, given, tasks=[TWO]) for _ in range(2))
    assert first == second
    found = first.f1_macro
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert "bootstrap" in found.method
    assert "seed 0" in found.method


def test_a_bootstrap_interval_is_as_wide_as_theory_says() -> None:
    labels_NT = np.zeros((400, 1), np.int64)
    given_NT = labels_NT.copy()
    given_NT[:100] = 1
    drawn = resample(given_NT, labels_NT, tasks=[TWO], draws=Draws()).accuracy_R
    assert float(drawn.std()) == pytest.approx((0.75 * 0.25 / 400) ** 0.5, rel=0.1)


def test_slices_name_who_is_falsely_accused(tmp_path: Path) -> None:
    rows, given = rows_in(tmp_path)
    found = assess(rows, given, tasks=[TWO])
    by_name = {(one.column, one.value): one for one in found.slices}
    assert set(by_name) == {
        *(("topic", "race"), ("topic", "region")),
        *(("kind", "harmless"), ("kind", "insult")),
    }
    harmless = by_name["kind", "harmless"]
    wrong = int(((rows.labels_NT == 0) & (given.labels_NT == 1)).sum())
    assert harmless.falsely_accused is not None
    assert harmless.falsely_accused.value == pytest.approx(wrong / harmless.rows)
    assert by_name["kind", "insult"].falsely_accused is None
    assert found.unsliced == ["id: 200 values"]


def test_the_hardest_error_is_the_surest_one(tmp_path: Path) -> None:
    rows, given = rows_in(tmp_path)
    errors = assess(rows, given, tasks=[TWO]).errors
    sure = [error.sure for error in errors]
    assert sure == sorted(sure, reverse=True)
    assert all(error.label != error.predicted for error in errors)
    assert rows.table.texts[errors[0].line - 1] == errors[0].text


def test_a_difference_is_paired() -> None:
    _, labels_NT = skewed(600, shift=0.0)
    ours_NT, theirs_NT = labels_NT.copy(), labels_NT.copy()
    ours_NT[:60] = 1 - ours_NT[:60]
    theirs_NT[:90] = 1 - theirs_NT[:90]  # the same errors and thirty more
    found = difference(ours_NT, theirs_NT, labels_NT, tasks=[TWO])
    assert found.value == pytest.approx(0.05, abs=0.005)
    assert found.above_noise
    assert difference(ours_NT, ours_NT, labels_NT, tasks=[TWO]).value == 0.0


def test_wilsons_interval_stays_within_nought_and_one() -> None:
    none = wilson(0, 20)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(0.1611, abs=1e-4)  # 1 - 1/(1 + z²/n)
    assert wilson(0, 0).low is None
