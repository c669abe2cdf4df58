"""Importing tables that others made: `import_csv`, its columns and its records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import picture
from trainer.data.columns import Columns, parse_columns
from trainer.data.importers import ImportReport, import_csv
from trainer.data.read import label_matrix, read_table
from trainer.data.tasks import BUILTIN
from trainer.errors import DataError, UserError

LABELS = parse_columns("t", labels=["labels=y"])
TOXICITY = parse_columns("t", labels=["toxicity=y"], values=["toxicity:no=none", "toxicity:yes=1"])


def imported(
    directory: Path, content: str | bytes, *, columns: Columns = LABELS, name: str = "in.csv", **choices: Any
) -> ImportReport:
    source = directory / name
    source.write_bytes(content.encode() if isinstance(content, str) else content)
    return import_csv(source, out=directory / "out.jsonl", columns=columns, **choices)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


ROWS = [{"text": "你好", "labels": 0}, {"text": "滚", "labels": 1}, {"text": "啊", "labels": None}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.csv", "t,y\n你好,0\n滚,1\n啊,\n"),
        ("in.csv", "x,y,t\r\n9,0,你好\r\n,1,滚\r\n,,啊\r\n"),
        ("in.csv", "t;y\n你好;0\n滚;1\n啊;\n"),
        ("in.tsv", "t\ty\n你好\t0\n滚\t1\n啊\t\n"),
        ("in.data", '[{"t": "你好", "y": 0}, {"t": "滚", "y": "1"},\n {"t": "啊"}]'),
        ("in.jsonl", '{"t": "你好", "y": 0.0}\n{"t": "滚", "y": true}\n{"t": "啊", "y": null}\n'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_every_kind_and_encoding_gives_the_same_rows(
    tmp_path: Path, name: str, content: str, encoding: str
) -> None:
    report = imported(tmp_path, content.encode(encoding), name=name)
    assert rows_of(tmp_path / "out.jsonl") == ROWS
    assert (report.read, report.written, report.dropped) == (3, 3, 0)
    assert report.masked == {"labels": 1}
    assert bool(report.notes) == (encoding == "gb18030")


def test_values_are_mapped_and_what_comes_out_can_be_trained_on(tmp_path: Path) -> None:
    imported(tmp_path, "t,y\n甲,yes\n乙,no\n丙,\n", columns=TOXICITY)
    table = read_table(tmp_path / "out.jsonl")
    assert label_matrix(table, tasks=BUILTIN[:1]).tolist() == [[1], [0], [-100]]


def test_a_group_column_is_kept(tmp_path: Path) -> None:
    columns = parse_columns("t", labels=["labels=y"], group="user")
    imported(tmp_path, "t,y,user\n甲,1,小明\n", columns=columns)
    assert rows_of(tmp_path / "out.jsonl") == [{"text": "甲", "labels": 1, "group": "小明"}]


def test_a_quoted_cell_may_hold_line_breaks_and_the_next_row_keeps_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"in\.csv:4: t is empty"):
        imported(tmp_path, 't,y\n"甲\n乙",0\n ,1\n')


BAD = "t,y\n甲,yes\n,no\n丙,maybe\n丁,yes,extra\n"


def test_every_bad_row_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        imported(tmp_path, BAD, columns=TOXICITY)
    first, second, third, last = str(caught.value).splitlines()
    assert first.startswith(f"{tmp_path / 'in.csv'}:3: t is empty")
    assert second.startswith(f"{tmp_path / 'in.csv'}:4: y 'maybe' is not mapped (no, yes)")
    assert third.startswith(f"{tmp_path / 'in.csv'}:5: 3 columns where the header has 2")
    assert last.startswith("3 of 4 rows are bad")
    assert set(picture(tmp_path)) == {"in.csv"}


def test_skipped_rows_are_counted_and_kept_beside_with_the_reason(tmp_path: Path) -> None:
    report = imported(tmp_path, BAD, columns=TOXICITY, skip_bad=True)
    assert (report.read, report.written, report.dropped) == (4, 1, 3)
    beside = rows_of(tmp_path / "out.dropped.jsonl")
    assert report.dropped_file == str(tmp_path / "out.dropped.jsonl")
    assert [row["line"] for row in beside] == [3, 4, 5]
    assert beside[1]["row"] == {"t": "丙", "y": "maybe"}
    assert "not mapped" in beside[1]["reason"]


def test_a_class_that_a_known_task_lacks_is_a_bad_row(tmp_path: Path) -> None:
    columns = parse_columns("t", labels=["toxicity=y"])
    with pytest.raises(DataError, match=r"in\.csv:2: toxicity_labels 7 is out of range"):
        imported(tmp_path, "t,y\n甲,7\n", columns=columns)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("text,y\n甲,1\n", r"in\.csv:1: no column t; columns here: text, y"),
        ("t,y,y\n甲,1,1\n", "two columns are called y"),
        ("t,y\n", "no rows below the header"),
        ("", "no rows below the header"),
        ('t,y\n"甲,1\n', r"in\.csv:2: not CSV"),
        (b"t,y\n\xff\xfe\xff,1\n", "neither UTF-8 nor GB18030"),
    ],
)
def test_a_file_that_is_no_such_table_is_the_user_s_error(
    tmp_path: Path, content: str | bytes, expected: str
) -> None:
    with pytest.raises(DataError, match=expected):
        imported(tmp_path, content)
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("labels", "values", "expected"),
    [
        ([], [], "name at least one"),
        (["toxicity"], [], "write task=COLUMN"),
        (["toxicity=a", "toxicity=b"], [], "give it once"),
        (["labels=a", "toxicity=b"], [], "the only task"),
        (["toxicity=a"], ["role:x=1"], "role has no column"),
        (["toxicity=a"], ["toxicity:x"], "write task:FROM=TO"),
        (["toxicity=a"], ["toxicity:x=0", "toxicity:x=1"], "'x' is also mapped to '0'"),
    ],
)
def test_columns_that_make_no_sense_are_the_user_s_error(
    labels: list[str], values: list[str], expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        parse_columns("t", labels=labels, values=values)


def test_a_result_that_is_there_is_replaced_only_when_asked(tmp_path: Path) -> None:
    imported(tmp_path, "t,y\n甲,1\n")
    with pytest.raises(DataError, match=r"out\.jsonl: exists"):
        imported(tmp_path, "t,y\n乙,1\n")
    imported(tmp_path, "t,y\n乙,1\n", overwrite=True)
    assert rows_of(tmp_path / "out.jsonl")[0]["text"] == "乙"
