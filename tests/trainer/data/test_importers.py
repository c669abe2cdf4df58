from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from trainer.data.importers import import_cold
from trainer.errors import DataError, UserError

HEADER = ",split,topic,label,TEXT\n"
FINE_HEADER = ",split,topic,label,fine-grained-label,TEXT\n"
SHARED = Path(__file__).parents[4] / "shared"


def published(directory: Path, *, train: str = "0,train,race,1,甲\n") -> Path:
    """COLD's three files in small, with their byte order mark."""
    files = {
        "train": HEADER + train,
        "dev": HEADER + '1,dev,region,0,"一, ""二"""\n',
        "test": FINE_HEADER + "2,test,gender,0,3,丙\n",
    }
    directory.mkdir(exist_ok=True)
    for name, content in files.items():
        (directory / f"{name}.csv").write_text(content, encoding="utf-8-sig")
    return directory


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_three_files_become_three_splits(tmp_path: Path) -> None:
    counts = import_cold(published(tmp_path / "cold"), out=tmp_path / "out")
    assert counts == {"train": 1, "val": 1, "test": 1}
    assert rows_of(tmp_path / "out/train.jsonl") == [{"text": "甲", "labels": 1, "topic": "race"}]
    assert rows_of(tmp_path / "out/val.jsonl") == [{"text": '一, "二"', "labels": 0, "topic": "region"}]
    assert rows_of(tmp_path / "out/test.jsonl") == [
        {"text": "丙", "labels": 0, "topic": "gender", "fine_grained_label": 3}
    ]


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ("0,train,race,1,甲\n1,train,race,2,乙\n", r"train\.csv:3: label '2' is not one of 0, 1"),
        ("0,train,race,1,甲\n1,train,race,,乙\n", r"train\.csv:3: label '' is not one of"),
        ("0,train,race,1,甲\n1,train,race,1\n", r"train\.csv:3: 4 columns where the header has 5"),
        ("0,train,race,1,甲\n1,train,race,1,乙,丙\n", r"train\.csv:3: 6 columns"),
        ('0,train,race,1,"甲\n乙"\n1,train,race,1, \n', r"train\.csv:4: TEXT is empty"),
        ('0,train,race,1,甲\n1,train,race,1,"乙\n', r"train\.csv:3: not CSV"),
        ("", r"train\.csv: no rows"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line_and_nothing_is_written(
    tmp_path: Path, train: str, expected: str
) -> None:
    with pytest.raises(DataError, match=expected):
        import_cold(published(tmp_path / "cold", train=train), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_csv_file_is_not_taken_for_cold(tmp_path: Path) -> None:
    source = published(tmp_path / "cold")
    (source / "dev.csv").write_text("id,text\n1,a\n")
    with pytest.raises(DataError, match=r"dev\.csv:1: no column topic, label, TEXT; columns here: id, text"):
        import_cold(source, out=tmp_path / "out")


def test_a_missing_file_says_which_directory_to_give(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.csv: no such file; give the directory"):
        import_cold(tmp_path, out=tmp_path / "out")


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    source = published(tmp_path / "cold")
    (source / "test.csv").write_bytes((FINE_HEADER + "0,test,race,1,1,这是笨蛋\n").encode("gb18030"))
    with pytest.raises(DataError, match=r"test\.csv: not UTF-8"):
        import_cold(source, out=tmp_path / "out")


def limited(tmp_path: Path, **choices: int) -> list[dict[str, Any]]:
    train = "".join(f"{n},train,race,{int(n % 4 == 0)},t{n}\n" for n in range(100))
    import_cold(published(tmp_path / "cold", train=train), out=tmp_path / "out", overwrite=True, **choices)
    return rows_of(tmp_path / "out/train.jsonl")


@pytest.mark.parametrize(("limit", "ones"), [(100, 25), (40, 10), (20, 5), (4, 1)])
def test_a_limited_training_set_keeps_the_share_of_each_label(tmp_path: Path, limit: int, ones: int) -> None:
    rows = limited(tmp_path, limit_train=limit)
    assert Counter(row["labels"] for row in rows) == {1: ones, 0: limit - ones}
    assert len({row["text"] for row in rows}) == limit


def test_a_limited_training_set_follows_from_its_seed(tmp_path: Path) -> None:
    assert limited(tmp_path, limit_train=20) == limited(tmp_path, limit_train=20)
    assert limited(tmp_path, limit_train=20) != limited(tmp_path, limit_train=20, seed=1)


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_a_limit_that_cannot_be_met_is_an_error(tmp_path: Path, limit: int) -> None:
    with pytest.raises(UserError, match="choose from 1 to 100"):
        limited(tmp_path, limit_train=limit)


@pytest.mark.cold
def test_cold_as_published_is_imported_whole(tmp_path: Path) -> None:
    if not (SHARED / "data/cold").is_dir():
        pytest.skip("COLD is not beside the project")
    counts = import_cold(SHARED / "data/cold", out=tmp_path)
    assert counts == {"train": 25726, "val": 6431, "test": 5323}
    assert Counter(row["fine_grained_label"] for row in rows_of(tmp_path / "test.jsonl")) == {
        **{0: 2548, 1: 288},
        **{2: 1819, 3: 668},
    }
