"""What plain words mean, and where everything stood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainer.config.yaml import Document, closest, parse_value
from trainer.errors import ConfigError, Place


def parsed(text: str) -> Document:
    return Document.parse(text, file="a.yaml")


def said(text: str) -> list[str]:
    return [str(problem) for problem in parsed(text).problems]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("3e-5", 3e-5),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-7", -7),
        ("1_000", 1000),
        ("~", None),
        ("null", None),
        ("", None),
        ("Yes", True),
        ("off", False),
        ("True", True),
        ("none", "none"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("'8'", "8"),
        ('"no"', "no"),
        ("y", "y"),
    ],
)
def test_a_plain_word_means_what_it_plainly_is(word: str, value: Any) -> None:
    found = parsed(f"key: {word}\n").data["key"]
    assert found == value
    assert type(found) is type(value)


def test_keys_and_values_know_their_places() -> None:
    document = parsed("# 註解\na:\n  b: [1, {c: 2}]\n")
    assert document.data == {"a": {"b": [1, {"c": 2}]}}
    assert document.key_place(("a", "b")) == Place("a.yaml", 3, 3)
    assert document.place(("a", "b", 1, "c")) == Place("a.yaml", 3, 14)
    assert document.key_place(("a", "b", 1, "c")) == Place("a.yaml", 3, 11)


def test_the_place_of_what_is_not_there_is_its_parents() -> None:
    document = parsed("a:\n  b: 1\n")
    assert document.place(("a", "x", "y")) == Place("a.yaml", 2, 3)
    assert document.place(("z",)) == Place("a.yaml")


def test_every_duplicate_key_is_reported_with_its_first_line() -> None:
    assert said("a: 1\na: 2\nb: {c: 1, c: 2}\n") == [
        "a.yaml:2:1: a is given twice; the first is in line 1",
        "a.yaml:3:11: c is given twice; the first is in line 3",
    ]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a: [1\n", "a.yaml:2:1: not YAML"),
        ("a: b: c\n", "a.yaml:1:5: not YAML"),
        ("a:\n\tb: 1\n", "a.yaml:2:1: a tab cannot indent YAML"),
        ("- 1\n", "a.yaml:1:1: the file is not a mapping"),
        ("# only a comment\n", "a.yaml: the file has no content"),
        ("a: !!python/object/apply:os.system [id]\n", "a.yaml:1:4: the tag"),
        ("a: !mine b\n", "a.yaml:1:4: the tag"),
        ("a: &x [*x]\n", "a.yaml:1:4: an alias cannot contain itself"),
        ("a: &x {<<: *x}\n", "a.yaml:1:8: << must"),
        ("? [1]\n: 2\n", "a.yaml:1:3: a key must be a plain word"),
        ("a: 1\nb: \x01\n", "a.yaml:2: character U+0001"),
        ("a: 1\n---\nb: 1\n", "a.yaml:2:1: not YAML"),
        ("a: " + "9" * 5000, "a.yaml:1:4: 999999999999… is too long"),
        ("a: " + "[" * 5000, "a.yaml: nested too deeply"),
    ],
)
def test_text_that_cannot_be_used_is_one_problem_at_its_place(text: str, start: str) -> None:
    (message,) = said(text)
    assert message.startswith(start)


def test_a_tag_on_a_mapping_does_not_run_anything(tmp_path: Path) -> None:
    target = tmp_path / "made"
    document = parsed(f"a: !!python/object/apply:pathlib.Path.touch {{self: {target}}}\n")
    assert document.problems
    assert not target.exists()


def test_merged_keys_are_there_and_own_keys_win() -> None:
    document = parsed("base: &b {k: 1, l: 2}\nmore:\n  <<: *b\n  k: 3\n")
    assert not document.problems
    assert document.data["more"] == {"k": 3, "l": 2}


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    file = tmp_path / "bom.yaml"
    file.write_bytes("\ufeff名: 一\n".encode())
    assert Document.read(file).data == {"名": "一"}


def test_a_file_in_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "gbk.yaml"
    file.write_bytes(b"a: 1\nb: " + "中文".encode("gb18030"))
    (problem,) = Document.read(file).problems
    assert str(problem) == f"{file}:2: not UTF-8; save the file as UTF-8"


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path, name: str) -> None:
    (problem,) = Document.read(tmp_path / name).problems
    assert "cannot be read" in str(problem)


def test_the_unquoted_word_is_kept_and_the_quoted_is_not() -> None:
    document = parsed("a: no\nb: 'no'\n")
    assert document.written(("a",)) == "no"
    assert document.written(("b",)) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("3e-5", 3e-5), ("", ""), ("#1", "#1"), ("[a, 2]", ["a", 2]), ("{t: 1}", {"t": 1}), ("null", None)],
)
def test_a_flags_value_is_read_as_yaml(text: str, value: Any) -> None:
    assert parse_value(text, file="--set a.b") == value


def test_a_flags_value_that_is_no_yaml_is_an_error_at_the_flag() -> None:
    with pytest.raises(ConfigError, match=r"--set a\.b: not YAML"):
        parse_value("[a", file="--set a.b")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("learning-rate", "learning_rate"),
        ("Learning_Rat", "learning_rate"),
        ("dropout", "dropout_rate"),
        ("xyz", None),
    ],
)
def test_the_closest_word_is_the_one_that_was_meant(word: str, meant: str | None) -> None:
    assert closest(word, ["learning_rate", "dropout_rate"]) == meant
