from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import picture
from trainer.config.loader import load_config
from trainer.data.check import CheckRequest, check_data
from trainer.data.clean import CleanReport, CleanRequest, clean_file
from trainer.errors import DataError, UserError

Rows = list[dict[str, Any]]


def written(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def cleaned(directory: Path, rows: Rows, *, request: CleanRequest | None = None) -> CleanReport:
    source = written(directory / "rows.jsonl", rows)
    return clean_file(source, out=directory / "clean.jsonl", request=request or CleanRequest())


def dropped(directory: Path) -> list[tuple[int, str, int | None]]:
    return [(row["line"], row["reason"], row["of"]) for row in rows_of(directory / "clean.dropped.jsonl")]


def test_what_is_dropped_lies_beside_with_line_and_reason(tmp_path: Path) -> None:
    rows = [
        {"text": "好", "labels": 0},
        {"text": "  ", "labels": 1},
        {"text": "长" * 6, "labels": 1},
        {"text": " 好", "labels": 0},
        {"text": "坏", "labels": 1, "user": 7},
    ]
    report = cleaned(tmp_path, rows, request=CleanRequest(max_length=5))
    assert rows_of(tmp_path / "clean.jsonl") == [rows[0], rows[4]]
    assert dropped(tmp_path) == [(2, "empty", None), (3, "too_long", None), (4, "duplicate", 1)]
    assert [row["row"] for row in rows_of(tmp_path / "clean.dropped.jsonl")] == rows[1:4]
    assert (report.read, report.kept) == (5, 2)
    assert report.dropped == {"empty": 1, "too_long": 1, "elsewhere": 0, "duplicate": 1, "contradiction": 0}


def test_texts_of_another_file_are_left_out(tmp_path: Path) -> None:
    train = written(tmp_path / "train.jsonl", [{"text": "坏人", "labels": 1}, {"text": "好", "labels": 0}])
    rows = [{"text": "坏 人", "labels": 1}, {"text": "新", "labels": 0}, {"text": "好", "labels": 1}]
    report = cleaned(tmp_path, rows, request=CleanRequest(without=(train,)))
    assert rows_of(tmp_path / "clean.jsonl") == rows[1:2]
    assert dropped(tmp_path) == [(1, "elsewhere", None), (3, "elsewhere", None)]
    assert report.dropped["elsewhere"] == 2


def test_of_equal_texts_the_one_with_most_labels_is_kept(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "好", "toxicity_labels": 0},
        {"text": "好", "toxicity_labels": 0, "role_labels": 1},
        {"text": "好", "role_labels": None},
    ]
    cleaned(tmp_path, rows)
    assert rows_of(tmp_path / "clean.jsonl") == [rows[1]]
    assert dropped(tmp_path) == [(1, "duplicate", 2), (3, "duplicate", 2)]


def test_of_contradictory_rows_none_is_kept(tmp_path: Path) -> None:
    rows = [{"text": text, "labels": label} for text, label in (("好", 0), ("坏", 1), ("好", 1))]
    cleaned(tmp_path, rows)
    assert rows_of(tmp_path / "clean.jsonl") == [rows[1]]
    assert dropped(tmp_path) == [(1, "contradiction", 3), (3, "contradiction", 1)]


def test_a_cleaned_file_passes_the_check(tmp_path: Path) -> None:
    rows = [{"text": text, "labels": label} for text, label in (("好", 0), ("坏", 1), ("甲", 0), ("甲", 1))]
    cleaned(tmp_path, [*rows, {"text": ""}, rows[0]])
    report = check_data(CheckRequest({"train": tmp_path / "clean.jsonl"}, load_config().config))
    assert report.findings == ()


@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"text": st.sampled_from(["", " ", "a", "A", "b ", "bb", "ccc"])},
            optional={"labels": st.sampled_from([None, 0, 1])},
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=60, deadline=None)
def test_every_row_is_kept_or_dropped_and_counted(
    rows: Rows, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("clean")
    rows = [*rows, {"text": "z"}]
    report = cleaned(directory, rows, request=CleanRequest(max_length=2))
    kept, left_out = rows_of(directory / "clean.jsonl"), dropped(directory)
    lines = {line for line, _, _ in left_out}
    assert kept == [row for line, row in enumerate(rows, 1) if line not in lines]
    assert report.read == len(rows) == len(kept) + len(left_out)
    assert sum(report.dropped.values()) == len(left_out)
    assert len({row["text"].strip().lower() for row in kept}) == len(kept)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"text": "好"}, {"text": 5}], r"rows\.jsonl:2: \"text\" must be text"),
        ([{"text": ""}], r"rows\.jsonl: no row would be left; nothing was written"),
    ],
)
def test_a_row_that_is_none_or_an_empty_result_writes_nothing(
    tmp_path: Path, rows: Rows, expected: str
) -> None:
    with pytest.raises(DataError, match=expected):
        cleaned(tmp_path, rows)
    assert set(picture(tmp_path)) == {"rows.jsonl"}


@pytest.mark.parametrize("existing", ["clean.jsonl", "clean.dropped.jsonl"])
def test_a_file_that_is_there_is_replaced_only_when_asked(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("mine")
    with pytest.raises(DataError, match=rf"{existing}: exists"):
        cleaned(tmp_path, [{"text": "好"}])
    assert (tmp_path / existing).read_text() == "mine"
    assert cleaned(tmp_path, [{"text": "好"}], request=CleanRequest(overwrite=True)).kept == 1


def test_a_length_below_one_is_the_user_s_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--max-length 0"):
        cleaned(tmp_path, [{"text": "好"}], request=CleanRequest(max_length=0))


def test_a_conversion_without_opencc_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opencc", None)  # what Python itself does for a blocked import
    with pytest.raises(UserError, match=r"pip install 'cp-search\[zh\]'"):
        cleaned(tmp_path, [{"text": "好"}], request=CleanRequest(to="traditional"))
    assert set(picture(tmp_path)) == {"rows.jsonl"}


def test_texts_are_converted_before_they_are_compared(tmp_path: Path) -> None:
    rows = [{"text": "这个国家", "labels": 0}, {"text": "這個國家", "labels": 0}, {"text": "好", "labels": 1}]
    report = cleaned(tmp_path, rows, request=CleanRequest(to="traditional"))
    assert [row["text"] for row in rows_of(tmp_path / "clean.jsonl")] == ["這個國家", "好"]
    assert dropped(tmp_path) == [(2, "duplicate", 1)]
    assert report.converted == 1
