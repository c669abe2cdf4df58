"""The text of data files: found to be UTF-8 or GB18030, then read line by line, never whole without need."""

from __future__ import annotations

import hashlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from trainer.errors import DataError

_CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class Content:
    """A file that can be read to its end. encoding: UTF-8, UTF-8 with BOM, or GB18030."""

    path: Path
    encoding: str

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about how the file is read."""
        return ("read as GB18030, because it is not UTF-8",) if self.encoding == "GB18030" else ()

    def lines(self) -> Iterator[str]:
        """Every line with its end; only `\\n` ends one, for JSON allows U+2028 in a text."""
        with self.path.open(encoding=self._codec, newline="\n") as stream:
            yield from stream

    def text(self) -> str:
        """All of it at once."""
        with self.path.open(encoding=self._codec, newline="") as stream:
            return stream.read()

    def first_character(self) -> str:
        """The first that is not white space; empty: there is none."""
        return next((line.lstrip()[0] for line in self.lines() if line.strip()), "")

    @property
    def _codec(self) -> str:
        return "gb18030" if self.encoding == "GB18030" else "utf-8-sig"


def find_content(path: Path) -> Content:
    """The file and its encoding.

    Raises `DataError` for a file that cannot be read, with the line of a byte that is neither.
    """
    line = _first_undecodable(path, "utf-8")
    if line is None:
        with _opened(path) as stream:
            return Content(path, "UTF-8 with BOM" if stream.read(len(BOM_UTF8)) == BOM_UTF8 else "UTF-8")
    if _is_mostly_utf8(path):
        raise DataError("a byte that is not UTF-8; save the file as UTF-8", file=path, line=line)
    if _first_undecodable(path, "gb18030") is not None:
        raise DataError("neither UTF-8 nor GB18030; save the file as UTF-8", file=path, line=line)
    return Content(path, "GB18030")


def fingerprint(path: Path) -> str:
    """SHA-256 of the file's content, in hexadecimal. Raises `DataError` if it cannot be read."""
    digest = hashlib.sha256()
    with _opened(path) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    try:
        with path.open("rb") as stream:
            yield stream
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


def _first_undecodable(path: Path, codec: str) -> int | None:
    """The first line, from 1, that `codec` cannot read; no character of either codec holds a line end."""
    with _opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode(codec)
            except UnicodeDecodeError:
                return number
    return None


def _is_mostly_utf8(path: Path) -> bool:
    """Whether a few bytes are damaged; such a file can pass for GB18030, as nonsense."""
    damaged = sound = 0
    with _opened(path) as stream:
        for line in stream:
            text = line.decode("utf-8", "replace")
            broken = text.count("\ufffd")
            damaged += broken
            sound += sum(character > "\x7f" for character in text) - broken
    return sound > 10 * damaged
