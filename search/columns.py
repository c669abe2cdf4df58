"""Names and values in two columns, as a terminal shows them; Chinese characters take two of its columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from search.language import cells, padded

#: of a whole line, in columns of the terminal
_WIDTH = 110
#: a word, and the spaces around it
_WORD = re.compile(r"\s*\S+\s*")


def in_columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    """A line each; a long value goes on below itself."""
    start = 3 + max((cells(name) for name, _ in rows), default=0)
    return [line for name, value in rows for line in _row(name, value, start=start)]


def _row(name: str, value: str, *, start: int) -> Iterator[str]:
    before = f" {name}"
    for part in _folded(value, width=_WIDTH - start - 1):
        yield f"{padded(before, to=start)}{part}".rstrip()
        before = ""


def _folded(text: str, *, width: int) -> Iterator[str]:
    """Parts of `text` that take at most `width` columns: cut between words, and within one that is longer."""
    for line in text.expandtabs().split("\n"):
        kept = ""
        for word in _words(line, width=width):
            if kept and cells(kept + word.rstrip()) > width:
                yield kept.rstrip()
                kept = ""
            kept += word
        yield kept.rstrip()


def _words(line: str, *, width: int) -> Iterator[str]:
    """The words of a line with the spaces around them, long ones in parts."""
    for word in _WORD.findall(line):
        rest = word
        while cells(rest.rstrip()) > width:
            part = rest[: _fitting(rest, width=width)]
            yield part
            rest = rest[len(part) :]
        yield rest


def _fitting(text: Iterable[str], *, width: int) -> int:
    """How many of the first characters take at most `width` columns; one at least."""
    return max(1, sum(taken <= width for taken in accumulate(map(cells, text))))
