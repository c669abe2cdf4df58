"""Texts to label, from wherever they come: a file of any kind that is read here, or a stream."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from trainer.data.content import find_content
from trainer.data.records import Records, read_records
from trainer.errors import DataError

_PLAIN = ".txt"
_STREAM = "standard input"
_COLUMNS = ("text", "TEXT", "Text", "content", "comment")


Say = Callable[[str], None]


def _unheard(_line: str) -> None:
    """Nobody to tell."""


def read_texts(path: Path, *, column: str | None = None, say: Say = _unheard) -> list[str]:
    """The texts of a JSON, JSON Lines, CSV or TSV file, in order; of a .txt file, its lines.

    column: which one holds them; None: `text`, or the only one there is. say: told how many empty lines of a
    .txt file are left out.

    Raises:
        DataError: the file cannot be read, has no such column, or a row without a text.
    """
    if path.suffix.lower() == _PLAIN:
        return _lines(path, say=say)
    found = read_records(path)
    name = column or _text_column(found, path)
    if name not in found.columns:
        message = f"no column {name}; columns here: {', '.join(found.columns)}; name one with --text-column"
        raise DataError(message, file=path, line=1)
    return _column(found, path=path, name=name)


def texts_of_stream(stream: IO[str], *, say: Say = _unheard) -> list[str]:
    """The texts of a stream: JSON Lines with a `text` each where the first line is an object, else its lines.

    say: told how many empty lines are left out.

    Raises:
        DataError: a line that should be an object with a text is none; or there are none.
    """
    lines = _filled(list(io.StringIO(stream.read())), where=_STREAM, say=say)
    if not lines:
        raise DataError("nothing came; give one text a line, or JSON Lines", file=_STREAM)
    if not lines[0].lstrip().startswith("{"):
        return [line.rstrip("\n") for line in lines]
    return [_text_of_line(line, number) for number, line in enumerate(lines, start=1)]


def _text_of_line(line: str, number: int) -> str:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise DataError(f"not JSON ({error})", file=_STREAM, line=number) from error
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        raise DataError("no text in it; each row is an object with a text", file=_STREAM, line=number)
    return str(found["text"])


def _filled(lines: Sequence[str], *, where: str, say: Say) -> list[str]:
    """The lines that hold something; what is written for them would else not stand line beside line."""
    found = [line for line in lines if line.strip()]
    if len(found) < len(lines):
        say(f"{where}: empty lines left out: {len(lines) - len(found)}")
    return found


def _lines(path: Path, *, say: Say) -> list[str]:
    lines = _filled(list(find_content(path).lines()), where=str(path), say=say)
    texts = [line.rstrip("\r\n") for line in lines]
    if not texts:
        raise DataError("no text; write one on each line", file=path)
    return texts


def _text_column(found: Records, path: Path) -> str:
    if len(found.columns) == 1:
        return found.columns[0]
    for name in _COLUMNS:
        if name in found.columns:
            return name
    message = f"which column holds the texts? name it with --text-column ({', '.join(found.columns)})"
    raise DataError(message, file=path, line=1)


def _column(found: Records, *, path: Path, name: str) -> list[str]:
    texts = []
    for record in found.records:
        text = record.cells.get(name)
        problem = record.problem or ("" if isinstance(text, str) else f"no text in {name}")
        if problem:
            raise DataError(problem, file=path, line=record.line)
        texts.append(str(text))
    return texts
