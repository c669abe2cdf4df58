"""The data commands, each as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import CommandLine, picture

CSV = "content,bad,user\n" + "".join(f"第{n}句话,{n % 3 == 0:d},u{n % 20}\n" for n in range(120))


@pytest.fixture
def rows(cp_search: CommandLine, tmp_path: Path) -> Path:
    """A table of 120 rows, imported."""
    (tmp_path / "in.csv").write_text(CSV, encoding="utf-8-sig")
    words = ("--text", "content", "--label", "labels=bad", "--group", "user")
    result = cp_search("data", "import", "csv", "in.csv", "--out", "rows.jsonl", *words)
    assert result.returncode == 0, result.stderr
    assert "written: 120 rows" in result.stdout
    assert "labels: 0 80, 1 40; without a label 0" in result.stdout
    return tmp_path / "rows.jsonl"


@pytest.mark.slow
def test_import_split_and_check_follow_on_each_other(
    cp_search: CommandLine, rows: Path, tmp_path: Path
) -> None:
    split = cp_search("data", "split", rows.name, "parts", "--group", "group", "--json")
    assert split.returncode == 0, split.stderr
    report = json.loads(split.stdout)
    assert sum(part["rows"] for part in report["parts"]) == 120
    assert report["files"].keys() == {"train.jsonl", "val.jsonl", "test.jsonl"}
    files = [word for part in ("train", "val", "test") for word in (f"--{part}", f"parts/{part}.jsonl")]
    check = cp_search("data", "check", *files, "--json")
    assert check.returncode == 0, check.stdout
    assert json.loads(check.stdout)["ok"] is True


@pytest.mark.slow
def test_a_leak_is_shown_with_its_place_and_the_exit_code_is_1(
    cp_search: CommandLine, rows: Path, tmp_path: Path
) -> None:
    (tmp_path / "val.jsonl").write_text('{"text": "新", "labels": 0}\n{"text": "第 7 句话", "labels": 0}\n')
    result = cp_search("data", "check", "--train", rows.name, "--val", "val.jsonl")
    assert result.returncode == 1
    assert "error: 1 row(s) of val have a text that is also in train" in result.stdout
    assert "val.jsonl:2" in result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_the_check_prints_the_class_order_in_use(cp_search: CommandLine, tmp_path: Path) -> None:
    lines = ('{"text": "甲", "emotion_labels": 1}', '{"text": "乙", "emotion_labels": 0}')
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    result = cp_search("data", "check", "rows.jsonl")
    assert result.returncode == 0
    order = [result.stdout.index(name) for name in ("0 negative", "1 neutral", "2 positive")]
    assert order == sorted(order)


@pytest.mark.slow
def test_a_configuration_brings_its_files_tokenizer_and_length(
    cp_search: CommandLine, rows: Path, tmp_path: Path
) -> None:
    (tmp_path / "my.yaml").write_text(
        "model: {name: 'builtin:tiny', max_sequence_length: 8}\n"
        f"data: {{train_path: {rows.name}, val_path: {rows.name}, cache_dir: cache}}\n"
    )
    result = cp_search("data", "check", "--config", "my.yaml", "--json")
    report = json.loads(result.stdout)
    assert [facts["split"] for facts in report["files"]] == ["train", "val"]
    assert report["files"][0]["tokens"]["max_length"] == 8
    longer = cp_search("data", "check", "--config", "my.yaml", "--max-length", "16", "--json")
    assert json.loads(longer.stdout)["files"][0]["tokens"]["max_length"] == 16


def test_clean_tells_what_it_dropped_and_where_it_lies(cp_search: CommandLine, tmp_path: Path) -> None:
    lines = ('{"text": "甲", "labels": 1}', '{"text": " ", "labels": 0}', '{"text": "甲 ", "labels": 1}')
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    result = cp_search("data", "clean", "rows.jsonl", "clean.jsonl")
    assert result.returncode == 0
    reasons = "empty 1, too_long 0, elsewhere 0, duplicate 1, contradiction 0"
    expected = f"dropped: 2 rows ({reasons}), in clean.dropped.jsonl"
    assert expected in result.stdout
    assert len((tmp_path / "clean.dropped.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("check",), "no file to check"),
        (("check", "none.jsonl"), "none.jsonl: no such file"),
        (("check", "rows.jsonl", "--model", "./none"), "the directory ./none does not exist"),
        (("split", "rows.jsonl", "out", "--val", "2"), "--val 2: give a share"),
        (("split", "rows.jsonl", "out", "--group", "topic"), "no row has the field topic"),
        (("clean", "rows.jsonl", "rows.jsonl"), "is the file that is read"),
        (("import", "csv", "in.csv", "--out", "o", "--text", "t", "--label", "labels=bad"), "no column t"),
        (("import", "csv", "in.csv", "--out", "o", "--text", "content", "--label", "x"), "write task=COLUMN"),
    ],
)
@pytest.mark.slow
def test_a_user_s_mistake_is_one_line_exit_code_2_and_changes_nothing(
    cp_search: CommandLine, rows: Path, tmp_path: Path, words: tuple[str, ...], expected: str
) -> None:
    before = picture(tmp_path)
    result = cp_search("data", *words)
    assert result.returncode == 2, result.stdout
    assert expected in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
    assert picture(tmp_path) == before


def test_sample_and_cold_can_answer_with_one_json_document(
    cp_search_here: CommandLine, tmp_path: Path
) -> None:
    sample = cp_search_here("data", "sample", "made", "--rows", "120", "--json")
    assert sample.returncode == 0, sample.stderr
    files = json.loads(sample.stdout)["files"]
    assert files.keys() == {"train", "val", "test"}
    assert all((tmp_path / path).is_file() for path in files.values())
    for name in ("train", "dev", "test"):
        text = f",split,topic,label,TEXT\n0,{name},race,1,{name}甲\n1,{name},race,0,乙\n"
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8-sig")
    cold = cp_search_here("data", "import", "cold", ".", "cold", "--json")
    assert cold.returncode == 0, cold.stderr
    assert json.loads(cold.stdout)["rows"] == {"train": 2, "val": 2, "test": 2}
    again = cp_search_here("data", "import", "cold", ".", "cold", "--json")
    assert (again.returncode, again.stdout) == (2, "")
    assert "exists; choose another name, or add --overwrite" in again.stderr
    assert cp_search_here("data", "import", "cold", ".", "cold", "--overwrite").returncode == 0
