"""Data files: a `Table` of texts with the line each row came from, and its labels as numbers."""

from __future__ import annotations

import json
import re
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.content import Content, find_content
from trainer.data.tasks import SINGLE, Task
from trainer.errors import DataError

Labels = NDArray[np.int64]

#: Label of a row that has none for a task; also torch's default `ignore_index`.
MASKED = -100

_REMEDY = "one JSON object on each line, or one JSON array of objects"
#: characters of a value that is likely to occur in many rows
_SHORT = 16
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Table:
    """The rows of one file. `lines[i]` is where row i starts, from 1; `notes` are for a person to see."""

    path: Path
    texts: list[str]
    rows: list[dict[str, Any]]
    lines: Sequence[int]
    notes: tuple[str, ...]
    fields: frozenset[str]

    def __len__(self) -> int:
        """How many rows."""
        return len(self.texts)


@dataclass(frozen=True)
class NotJson:
    """A line that holds no JSON: why, and the line as it stands."""

    problem: str
    text: str


def read_table(path: Path) -> Table:
    """Read a JSON array or JSON Lines file (told apart by content), UTF-8 or GB18030.

    Raises `DataError` for the first thing wrong, with its line.
    """
    content = find_content(path)
    return table_of(content, pairs=_sound(content))


def table_of(content: Content, *, pairs: Iterable[tuple[int, dict[str, Any]]]) -> Table:
    """The `Table` of (line, row) pairs in which `row_problem` finds nothing wrong."""
    rows, lines, fields = [], array("q"), set[str]()
    for line, row in pairs:
        rows.append({name: _shared(value) for name, value in row.items()})
        lines.append(line)
        fields.update(row)
    texts = [row["text"] for row in rows]
    return Table(content.path, texts, rows, lines, content.notes, frozenset(fields))


def _sound(content: Content) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, value in read_values(content):
        if problem := row_problem(value):
            raise DataError(problem, file=content.path, line=line)
        yield line, value


def _shared(value: Any) -> Any:
    """One object for equal short texts, as names of classes and topics are: they fill memory otherwise."""
    return sys.intern(value) if type(value) is str and len(value) <= _SHORT else value


def read_values(content: Content) -> Iterator[tuple[int, Any]]:
    """(line, value) of each element of a JSON array or of JSON Lines, told apart by content.

    Lines are read one by one, an array is read whole. Raises `DataError`, once it gets there, for what is not
    JSON, with its line, and for a file without rows.
    """
    for line, value in read_lines(content):
        if isinstance(value, NotJson):
            raise DataError(value.problem, file=content.path, line=line)
        yield line, value


def read_lines(content: Content) -> Iterator[tuple[int, Any]]:
    """As `read_values`, but a line of JSON Lines that is not JSON comes as `NotJson`, and reading goes on."""
    rows = _array_rows(content) if content.first_character() == "[" else _line_rows(content)
    empty = True
    for found in rows:
        empty = False
        yield found
    if empty:
        raise DataError(f"no rows; expected {_REMEDY}", file=content.path)


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


def _line_rows(content: Content) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(content.lines(), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                cut = "" if line.endswith("\n") else "; the file ends within this row: was it cut off?"
                yield number, NotJson(_not_json(error, hint=cut), line)


def _not_json(error: ValueError | RecursionError, *, hint: str = "") -> str:
    """What the decoder found; the line is told by us, since it would count from where a row begins."""
    found = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return f"not JSON ({found}){hint or f'; expected {_REMEDY}'}"


def _array_rows(content: Content) -> Iterator[tuple[int, Any]]:
    """The elements of a JSON array, each with its line, which `json.loads` would not tell."""
    text, decoder, line, counted = content.text(), json.JSONDecoder(), 1, 0
    position = _after_space(text, text.index("[") + 1)
    while text[position : position + 1] != "]":
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, end = decoder.raw_decode(text, position)
            position = _after_separator(text, end)
        except (ValueError, RecursionError) as error:
            raise DataError(_not_json(error), file=content.path, line=line) from error
        yield line, value
    if text[position + 1 :].strip():
        line += text.count("\n", counted, position)
        message = f"text after the end of the array; expected {_REMEDY}"
        raise DataError(message, file=content.path, line=line)


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
