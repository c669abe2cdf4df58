from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import picture
from trainer.data.split import SplitRequest, part_shares, split_file
from trainer.data.stratify import join_blocks, stratify
from trainer.errors import DataError, UserError

Rows = list[dict[str, Any]]


def written(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def comments(count: int, *, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    return [
        {
            "text": f"第{number}句",
            "toxicity_labels": int(rng.choice(3, p=(0.7, 0.25, 0.05))),
            "role_labels": None if rng.random() < 0.3 else int(rng.choice(4, p=(0.6, 0.2, 0.15, 0.05))),
            "user": int(rng.zipf(1.6)) % 40,
        }
        for number in range(count)
    ]


def test_every_row_is_in_exactly_one_part_unchanged_and_in_order(tmp_path: Path) -> None:
    rows = comments(200)
    split_file(written(tmp_path / "rows.jsonl", rows), out=tmp_path / "out", request=SplitRequest())
    parts = {part: rows_of(tmp_path / "out" / f"{part}.jsonl") for part in ("train", "val", "test")}
    place = {row["text"]: number for number, row in enumerate(rows)}
    numbers = {part: [place[row["text"]] for row in found] for part, found in parts.items()}
    assert sorted(number for found in numbers.values() for number in found) == list(range(200))
    assert all(found == sorted(found) for found in numbers.values())
    assert all(row == rows[place[row["text"]]] for found in parts.values() for row in found)


def test_every_part_has_its_share_of_every_class_of_every_task(tmp_path: Path) -> None:
    rows = comments(2000)
    report = split_file(written(tmp_path / "r.jsonl", rows), out=tmp_path / "out", request=SplitRequest())
    for field in ("toxicity_labels", "role_labels"):
        total = Counter(row[field] for row in rows if row[field] is not None)
        for part, share in zip(report.parts, (0.8, 0.1, 0.1), strict=True):
            for value, count in total.items():
                assert part.labels[field][str(value)] == pytest.approx(share * count, abs=2)
    assert max(report.shift.values()) < 0.01
    assert [part.rows for part in report.parts] == pytest.approx([1600, 200, 200], abs=4)
    assert report.missing == ()


def test_a_group_never_straddles_and_the_balance_stays_near(tmp_path: Path) -> None:
    source = written(tmp_path / "rows.jsonl", comments(2000))
    report = split_file(source, out=tmp_path / "out", request=SplitRequest(val=0.2, test=0.2, group="user"))
    users = [
        {row["user"] for row in rows_of(tmp_path / "out" / f"{part}.jsonl")}
        for part in ("train", "val", "test")
    ]
    assert not users[0] & users[1]
    assert not users[0] & users[2]
    assert not users[1] & users[2]
    assert [part.groups for part in report.parts] == [len(found) for found in users]
    assert [part.rows for part in report.parts] == pytest.approx([1200, 400, 400], abs=60)


def test_the_same_text_stays_on_one_side_even_across_groups(tmp_path: Path) -> None:
    rows = [
        {"text": f"{letter}{' ' * copy}{number}", "labels": number % 2, "user": number * 3 + copy}
        for number in range(60)
        for copy, letter in enumerate(("A", "a", "Ａ"))
    ]
    request = SplitRequest(group="user", seed=3)
    split_file(written(tmp_path / "rows.jsonl", rows), out=tmp_path / "out", request=request)
    for part in ("train", "val", "test"):
        counts = Counter(row["user"] // 3 for row in rows_of(tmp_path / "out" / f"{part}.jsonl"))
        assert set(counts.values()) == {3}


def test_each_fold_is_val_once_and_the_test_rows_are_in_none(tmp_path: Path) -> None:
    rows = comments(300)
    request = SplitRequest(folds=5, test=0.1)
    report = split_file(written(tmp_path / "rows.jsonl", rows), out=tmp_path / "out", request=request)
    test = {row["text"] for row in rows_of(tmp_path / "out/test.jsonl")}
    vals: list[str] = []
    for fold in range(1, 6):
        train, val = (
            [row["text"] for row in rows_of(tmp_path / f"out/fold-{fold}/{part}.jsonl")]
            for part in ("train", "val")
        )
        assert sorted([*train, *val, *test]) == sorted(row["text"] for row in rows)
        vals += val
    assert sorted([*vals, *test]) == sorted(row["text"] for row in rows)
    assert len(report.files) == 11


def test_the_same_seed_gives_the_same_split_and_another_one_another(tmp_path: Path) -> None:
    source = written(tmp_path / "rows.jsonl", comments(200))
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        split_file(source, out=tmp_path / name, request=SplitRequest(seed=seed))
    assert picture(tmp_path / "a") == picture(tmp_path / "b")
    assert picture(tmp_path / "a") != picture(tmp_path / "c")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (SplitRequest(val=-0.1), "--val -0.1: give a share"),
        (SplitRequest(test=1.0), "--test 1: give a share"),
        (SplitRequest(val=0.5, test=0.5), "nothing is left to train on"),
        (SplitRequest(val=0.1, folds=3), "leave --val out"),
        (SplitRequest(folds=1), "--folds 1: ask for 2 or more"),
        (SplitRequest(val=float("nan")), "give a share"),
    ],
)
def test_shares_that_cannot_be_met_are_the_user_s_error(request_: SplitRequest, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        part_shares(request_)


def test_too_few_rows_for_a_part_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    source = written(tmp_path / "rows.jsonl", comments(2))
    with pytest.raises(UserError, match="would be empty"):
        split_file(source, out=tmp_path / "out", request=SplitRequest())
    assert not (tmp_path / "out").exists()


def test_an_unknown_group_names_the_fields_there_are(tmp_path: Path) -> None:
    source = written(tmp_path / "rows.jsonl", comments(20))
    with pytest.raises(
        DataError, match=r"field topic \(--group\); fields here: role_labels, toxicity_labels"
    ):
        split_file(source, out=tmp_path / "out", request=SplitRequest(group="topic"))


def test_files_that_are_there_are_replaced_only_when_asked(tmp_path: Path) -> None:
    source, out = written(tmp_path / "rows.jsonl", comments(100)), tmp_path / "out"
    split_file(source, out=out, request=SplitRequest())
    before = picture(out)
    with pytest.raises(DataError, match=r"train\.jsonl: exists; choose another name, or add --overwrite"):
        split_file(source, out=out, request=SplitRequest(seed=9))
    assert picture(out) == before
    split_file(source, out=out, request=SplitRequest(seed=9, overwrite=True))
    assert picture(out) != before


def test_a_split_never_writes_over_its_own_source(tmp_path: Path) -> None:
    source = written(tmp_path / "train.jsonl", comments(100))
    with pytest.raises(DataError, match="is the file that is read"):
        split_file(source, out=tmp_path, request=SplitRequest(overwrite=True))


def test_a_class_that_a_part_lacks_is_reported(tmp_path: Path) -> None:
    rows = [{"text": f"t{n}", "labels": int(n == 0)} for n in range(50)]
    report = split_file(written(tmp_path / "r.jsonl", rows), out=tmp_path / "out", request=SplitRequest())
    assert report.missing == (("val", "labels", "1"), ("test", "labels", "1"))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_split_is_disjoint_complete_and_parts_no_block(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 60))
    tasks = data.draw(st.integers(0, 3))
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    classes_NT = draw.integers(-1, 4, size=(count, tasks))
    keys = [draw.integers(0, count, size=count).tolist() for _ in range(2)]
    shares = data.draw(st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.5), (0.2,) * 5, (1.0,)]))
    blocks_N = join_blocks(*keys)
    parts_N = stratify(classes_NT, blocks_N=blocks_N, shares=shares, seed=1)
    assert parts_N.shape == (count,)
    assert set(parts_N.tolist()) <= set(range(len(shares)))
    for key in keys:
        by_value: dict[int, set[int]] = {}
        for value, part in zip(key, parts_N.tolist(), strict=True):
            by_value.setdefault(value, set()).add(part)
        assert all(len(parts) == 1 for parts in by_value.values())


@given(count=st.integers(10, 400), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_single_rows_of_one_task_are_dealt_out_to_within_one_row(count: int, seed: int) -> None:
    classes_N1 = np.random.default_rng(seed).integers(0, 3, size=(count, 1))
    shares = (0.7, 0.2, 0.1)
    parts_N = stratify(classes_N1, blocks_N=np.arange(count), shares=shares, seed=seed)
    for value in range(3):
        of_class = classes_N1[:, 0] == value
        got = np.bincount(parts_N[of_class], minlength=3)
        assert np.abs(got - np.array(shares) * of_class.sum()).max() <= 1


def test_blocks_join_by_way_of_other_rows_and_none_joins_nothing() -> None:
    blocks = join_blocks(["a", "b", "b", "c", "d"], [1, 1, 2, None, None]).tolist()
    assert blocks[0] == blocks[1] == blocks[2]
    assert len(set(blocks)) == 3
