"""Data files: a `Table` of texts with the line each row came from, and its labels as numbers."""

from __future__ import annotations

import hashlib
import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.tasks import SINGLE, Task
from trainer.errors import DataError

Labels = NDArray[np.int64]

#: Label of a row that has none for a task; also torch's default `ignore_index`.
MASKED = -100

_REMEDY = "one JSON object on each line, or one JSON array of objects"
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Table:
    """The rows of one file. `lines[i]` is where row i starts, from 1; `notes` are for a person to see."""

    path: Path
    texts: list[str]
    rows: list[dict[str, Any]]
    lines: list[int]
    notes: tuple[str, ...]
    fields: frozenset[str]

    def __len__(self) -> int:
        """How many rows."""
        return len(self.texts)


@dataclass(frozen=True)
class Content:
    """A file's text, and the encoding it was found in: UTF-8, UTF-8 with BOM, or GB18030."""

    text: str
    encoding: str

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about how the file was read."""
        return ("read as GB18030, because it is not UTF-8",) if self.encoding == "GB18030" else ()


def read_table(path: Path) -> Table:
    """Read a JSON array or JSON Lines file (told apart by content), UTF-8 or GB18030.

    Raises `DataError` for the first thing wrong, with its line.
    """
    content = read_content(path)
    pairs = parse_values(path, content.text)
    for line, value in pairs:
        if problem := row_problem(value):
            raise DataError(problem, file=path, line=line)
    return table_of(path, pairs=pairs, notes=content.notes)


def table_of(path: Path, *, pairs: Sequence[tuple[int, Any]], notes: tuple[str, ...] = ()) -> Table:
    """The `Table` of (line, row) pairs in which `row_problem` finds nothing wrong."""
    rows: list[dict[str, Any]] = [row for _, row in pairs]
    return Table(
        path=path,
        texts=[row["text"] for row in rows],
        rows=rows,
        lines=[line for line, _ in pairs],
        notes=notes,
        fields=frozenset().union(*rows),
    )


def read_content(path: Path) -> Content:
    """The text of a file in UTF-8, with or without BOM, or GB18030.

    Raises `DataError` for a file that cannot be read, with the line of a byte that is neither.
    """
    return _decode(path, raw=_read_bytes(path))


def parse_values(path: Path, text: str) -> list[tuple[int, Any]]:
    """(line, value) of each element of a JSON array or of JSON Lines, whatever the values are.

    Raises `DataError` for what is not JSON, with its line, and for a file without rows.
    """
    pairs = list(_array_rows(path, text) if text.lstrip().startswith("[") else _line_rows(path, text))
    if not pairs:
        raise DataError(f"no rows; expected {_REMEDY}", file=path)
    return pairs


def label_matrix(table: Table, *, tasks: Sequence[Task]) -> Labels:
    """Labels as int64 [N, T], one column a task; `MASKED` where a row has none.

    A class may be given by number or by name. Raises `DataError` with the line of a label that is neither.
    """
    labels_NT = np.full((len(table), len(tasks)), MASKED, dtype=np.int64)
    for column, task in enumerate(tasks):
        for index, row in enumerate(table.rows):
            value = row.get(task.field)
            if value is not None:
                label = class_number(value, task=task)
                if label is None:
                    raise DataError(label_problem(value, task), file=table.path, line=table.lines[index])
                labels_NT[index, column] = label
    return labels_NT


def require_learnable(table: Table, labels: Labels, tasks: Sequence[Task]) -> None:
    """Raise `DataError` for a task whose rows do not show at least two classes."""
    for column, task in enumerate(tasks):
        present = np.unique(labels[:, column])
        classes = [task.classes[label] for label in present if label != MASKED]
        if len(classes) < 2:
            found = f"one class only ({classes[0]})" if classes else "no label at all"
            raise DataError(
                f"{found} in field {task.field}: nothing to learn; add rows of the other classes "
                f"({', '.join(task.classes)}) or remove the field",
                file=table.path,
            )


def fingerprint(path: Path) -> str:
    """SHA-256 of the file's content, in hexadecimal. Raises `DataError` if it cannot be read."""
    return hashlib.sha256(_read_bytes(path)).hexdigest()


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            "no such file; correct the path (data.train_path, data.val_path, data.test_path) "
            "or make a synthetic set with `cp-search data sample`",
            file=path,
        ) from error
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror}; give the path of a data file", file=path
        ) from error


def _decode(path: Path, *, raw: bytes) -> Content:
    try:
        return Content(raw.decode("utf-8-sig"), "UTF-8 with BOM" if raw.startswith(BOM_UTF8) else "UTF-8")
    except UnicodeDecodeError as error:
        # `start` counts from behind a BOM; a BOM holds no line end, so the line is right all the same.
        line = raw.count(b"\n", 0, error.start) + 1
    if _is_mostly_utf8(raw):
        raise DataError("a byte that is not UTF-8; save the file as UTF-8", file=path, line=line)
    try:
        return Content(raw.decode("gb18030"), "GB18030")
    except UnicodeDecodeError as error:
        raise DataError("neither UTF-8 nor GB18030; save the file as UTF-8", file=path, line=line) from error


def _is_mostly_utf8(raw: bytes) -> bool:
    """Whether a few bytes are damaged; such a file can pass for GB18030, as nonsense."""
    text = raw.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    sound = sum(character > "\x7f" for character in text) - damaged
    return sound > 10 * damaged


def _line_rows(path: Path, content: str) -> Iterator[tuple[int, Any]]:
    # Only "\n" ends a line here: str.splitlines would also cut at U+2028, which JSON allows in a text.
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"not JSON ({error}); expected {_REMEDY}", file=path, line=number) from error


def _array_rows(path: Path, content: str) -> Iterator[tuple[int, Any]]:
    """The elements of a JSON array, each with its line, which `json.loads` would not tell."""
    decoder, line, counted = json.JSONDecoder(), 1, 0
    position = _after_space(content, content.index("[") + 1)
    while content[position : position + 1] != "]":
        line, counted = line + content.count("\n", counted, position), position
        try:
            value, end = decoder.raw_decode(content, position)
            position = _after_separator(content, end)
        except (ValueError, RecursionError) as error:
            raise DataError(f"not JSON ({error}); expected {_REMEDY}", file=path, line=line) from error
        yield line, value
    if content[position + 1 :].strip():
        line += content.count("\n", counted, position)
        raise DataError(f"text after the end of the array; expected {_REMEDY}", file=path, line=line)


def _after_space(content: str, position: int) -> int:
    while content[position : position + 1] in {" ", "\t", "\r", "\n"}:
        position += 1
    return position


def _after_separator(content: str, position: int) -> int:
    """Where the next element or the closing bracket begins. Raises `ValueError` if neither does."""
    position = _after_space(content, position)
    following = content[position : position + 1]
    if following == "]":
        return position
    if following != ",":
        raise ValueError("',' or ']' expected after this row")
    position = _after_space(content, position + 1)
    if content[position : position + 1] == "]":
        raise ValueError("a row expected after the last ','")
    return position


def row_problem(value: Any) -> str | None:
    """What keeps `value` from being a row, and the remedy; None: nothing does."""
    if not isinstance(value, dict):
        return f"a row must be a JSON object, not {_kind(value)}; expected {_REMEDY}"
    text = value.get("text")
    if text is None:
        return f'no "text"; fields here: {", ".join(value) or "none"}; every row needs its text under "text"'
    if not isinstance(text, str):
        return f'"text" must be text, not {_kind(text)}; put it in quotes'
    if not text.strip():
        return '"text" is empty; write the text or remove the row'
    if _SURROGATE.search(text):
        return '"text" holds half of a character (a lone surrogate); correct the text or remove the row'
    return None


def _kind(value: Any) -> str:
    names = {
        bool: "true/false",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), "null")


def class_number(value: Any, *, task: Task) -> int | None:
    """The number of the class that a row gives by number or name; None: it is neither."""
    if isinstance(value, str) and value in task.classes:
        return task.classes.index(value)
    if type(value) is int and 0 <= value < len(task.classes):
        return value
    return None


def label_problem(value: Any, task: Task) -> str:
    """Why `value` is no class of `task`, and the remedy."""
    classes = ", ".join(f"{index} {name}" for index, name in enumerate(task.classes))
    shown = json.dumps(value, ensure_ascii=False)
    if task.name == SINGLE and task.classes == tuple(str(index) for index in range(len(task.classes))):
        classes = ", ".join(task.classes)
        remedy = "correct it or raise model.num_labels"
    else:
        remedy = f"write a number, a name, or null for none; classes are fixed by model.tasks.{task.name}"
    if type(value) is int:
        return f"{task.field} {shown} is out of range; classes: {classes}; {remedy}"
    return f"{task.field} {shown} is not one of the classes: {classes}; {remedy}"
