from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.content import fingerprint
from trainer.data.read import MASKED, Table, label_matrix, read_table, require_learnable
from trainer.data.tasks import BUILTIN, Task
from trainer.errors import DataError

BINARY = Task("labels", ("0", "1"))
TOXICITY, _, ROLE, _ = BUILTIN


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def labelled(path: Path, *values: Any, field: str = "labels") -> Table:
    return read_table(written(path, *({"text": f"t{i}", field: v} for i, v in enumerate(values))))


def refusal(path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as error:
        read_table(path)
    message = str(error.value)
    assert "\n" not in message
    return message.removeprefix(str(path))


def test_json_lines_are_read_with_the_line_of_every_row(path: Path) -> None:
    path.write_text('{"text": "你好", "labels": 1}\n\n{"text": "再見", "topic": "x"}\r\n', encoding="utf-8")
    table = read_table(path)
    assert (table.texts, list(table.lines), table.notes) == (["你好", "再見"], [1, 3], ())
    assert table.fields == {"text", "labels", "topic"}


def test_an_array_is_read_with_the_line_of_every_row(path: Path) -> None:
    path.write_text('\n[ {"text": "甲"},\n\n  {"text":\n "乙"}, {"text": "丙"}\n]\n', encoding="utf-8")
    table = read_table(path)
    assert (table.texts, list(table.lines)) == (["甲", "乙", "丙"], [2, 4, 5])


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip), min_size=1, max_size=5))
def test_array_and_lines_of_the_same_rows_read_alike(tmp_path_factory: Any, texts: list[str]) -> None:
    directory = tmp_path_factory.mktemp("rows")
    rows = [{"text": text} for text in texts]
    (directory / "a.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    lines = written(directory / "b.jsonl", *rows)
    assert read_table(directory / "a.json").texts == read_table(lines).texts == texts


def test_a_line_separator_inside_a_text_ends_no_row(path: Path) -> None:
    assert read_table(written(path, {"text": "一\u2028二"})).texts == ["一\u2028二"]


def test_a_byte_order_mark_is_no_part_of_the_data(path: Path) -> None:
    path.write_bytes('\ufeff{"text": "你好"}\n'.encode())
    table = read_table(path)
    assert table.fields == {"text"}
    assert table.notes == ()


def test_gb18030_is_read_and_noted(path: Path) -> None:
    path.write_bytes('{"text": "你这个笨蛋"}\n{"text": "今天天气很好"}\n'.encode("gb18030"))
    table = read_table(path)
    assert table.texts == ["你这个笨蛋", "今天天气很好"]
    assert "GB18030" in table.notes[0]


def test_a_damaged_utf8_file_is_not_taken_for_gb18030(path: Path) -> None:
    good = '{"text": "今天天氣很好，我們去公園散步"}\n'.encode()
    damaged = good * 2 + good.replace("好".encode(), b"\xe5\xa5") + good
    assert refusal(path, damaged).startswith(":3: a byte that is not UTF-8")


def test_utf16_is_refused_by_name(path: Path) -> None:
    assert "save the file as UTF-8" in refusal(path, '{"text": "你好"}\n'.encode("utf-16"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ": no rows"),
        ("\n \n", ": no rows"),
        ("[]", ": no rows"),
        ('{"text": "a"}\n{"text": "b"\n', ":2: not JSON"),
        ("text,labels\na,1\n", ":1: not JSON"),
        ('{"text": "a"}\n["b"]\n', ":2: a row must be a JSON object, not a list"),
        ('{"text": "a"}\n{"labels": 1, "txt": "b"}\n', ':2: no "text"; fields here: labels, txt'),
        ('{"text": "a"}\n{"text": null}\n', ':2: no "text"'),
        ('{"text": "a"}\n{"text": 7}\n', ':2: "text" must be text, not a number'),
        ('{"text": "a"}\n{"text": " \\u3000"}\n', ':2: "text" is empty'),
        ('{"text": "\\ud83d"}\n', ':1: "text" holds half of a character'),
        ('[{"text": "a"},\n{"text": ""}]', ':2: "text" is empty'),
        ('[{"text": "a"}\n{"text": "b"}]', ":1: not JSON (',' or ']' expected"),
        ('[{"text": "a"},\n{"text": "b"},\n]', ":2: not JSON (a row expected after the last ','"),
        ('[{"text": "a"},\n{"text": b}]', ":2: not JSON"),
        ('[{"text": "a"},\n{"text": "b"}', ":2: not JSON"),
        ('[{"text": "a"}\n]\n{"text": "b"}', ":2: text after the end of the array"),
        ('{"text": ' + "[" * 100_000, ":1: not JSON"),
        ('{"text": "a", "labels": ' + "9" * 5000 + "}", ":1: not JSON"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(path: Path, content: str, expected: str) -> None:
    assert refusal(path, content).startswith(expected)


def test_a_missing_file_says_what_to_type(path: Path) -> None:
    for read in (read_table, fingerprint):
        with pytest.raises(DataError, match=r"data\.train_path.*cp-search data sample"):
            read(path)


def test_a_directory_is_refused_as_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path)


def test_labels_are_taken_by_number_and_by_name_and_masked_where_missing(path: Path) -> None:
    rows = (
        {"text": "a", "toxicity_labels": 2, "role_labels": "victim"},
        {"text": "b", "toxicity_labels": None},
        {"text": "c", "toxicity_labels": "none", "role_labels": 0},
    )
    labels = label_matrix(read_table(written(path, *rows)), tasks=(TOXICITY, ROLE))
    assert labels.dtype == np.int64
    assert labels.tolist() == [[2, 2], [MASKED, MASKED], [0, 0]]


@pytest.mark.parametrize("value", [2, -1, -100, True, 1.0, "yes", [1], 10**30])
def test_a_label_that_is_no_class_is_refused_with_its_line(path: Path, value: Any) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl:2: labels .*classes: 0, 1; .*raise model\.num_labels"):
        label_matrix(labelled(path, 0, value), tasks=(BINARY,))


def test_a_label_out_of_a_named_tasks_range_shows_the_classes(path: Path) -> None:
    table = labelled(path, 0, 4, field="role_labels")
    with pytest.raises(DataError, match=r":2: role_labels 4 is out of range; .* 2 victim, 3 bystander"):
        label_matrix(table, tasks=(ROLE,))


def test_one_class_only_is_nothing_to_learn(path: Path) -> None:
    table = labelled(path, 1, None, 1)
    with pytest.raises(DataError, match=r"one class only \(1\) in field labels"):
        require_learnable(table, label_matrix(table, tasks=(BINARY,)), (BINARY,))


def test_a_task_without_any_label_is_nothing_to_learn(path: Path) -> None:
    table = labelled(path, None)
    with pytest.raises(DataError, match="no label at all"):
        require_learnable(table, label_matrix(table, tasks=(BINARY,)), (BINARY,))


def test_two_classes_are_enough_to_learn(path: Path) -> None:
    table = labelled(path, "none", "severe", field="toxicity_labels")
    require_learnable(table, label_matrix(table, tasks=(TOXICITY,)), (TOXICITY,))


def test_the_fingerprint_follows_the_content_only(path: Path, tmp_path: Path) -> None:
    written(path, {"text": "a"})
    copy = written(tmp_path / "copy.jsonl", {"text": "a"})
    assert fingerprint(path) == fingerprint(copy)
    assert fingerprint(written(copy, {"text": "b"})) != fingerprint(path)


def test_a_last_row_that_was_cut_off_is_said_to_be(path: Path) -> None:
    message = refusal(path, '{"text": "甲"}\n{"text": "乙", "la')
    assert message.startswith(":2: not JSON")
    assert message.endswith("the file ends within this row: was it cut off?")


def test_equal_short_values_of_many_rows_are_one_object(path: Path) -> None:
    table = read_table(written(path, *({"text": "甲", "topic": "種族"} for _ in range(3))))
    assert len({id(row["topic"]) for row in table.rows}) == 1


@pytest.mark.slow
def test_a_large_file_is_read_in_far_less_memory_than_it_would_take_whole(path: Path) -> None:
    row = json.dumps({"text": "長" * 1000, "labels": 1}, ensure_ascii=False) + "\n"
    path.write_text(row * 20_000, encoding="utf-8")
    code = (
        "import sys, tracemalloc; from pathlib import Path; from trainer.data.content import find_content;"
        "from trainer.data.read import read_values; tracemalloc.start();"
        "rows = sum(1 for _ in read_values(find_content(Path(sys.argv[1]))));"
        "print(rows, tracemalloc.get_traced_memory()[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, check=True)
    rows, peak_bytes = map(int, done.stdout.split())
    assert (rows, peak_bytes < 5_000_000 < path.stat().st_size) == (20_000, True)
