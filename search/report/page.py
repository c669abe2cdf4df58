"""A page as plain data: sections of paragraphs, tables, charts and code, in one language.

The HTML and the Markdown are two ways to write it down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from search.report.plot.chart import Chart

#: how an answer is to be read at a glance
Tone = Literal["good", "warn", "bad", "plain"]


@dataclass(frozen=True)
class Cell:
    """A cell of a table. share: 0 to 1, drawn as a bar, or if shaded as the colour. lang: of its text."""

    text: str
    share: float | None = None
    shaded: bool = False
    lang: str | None = None


@dataclass(frozen=True)
class Paragraph:
    """Some sentences. note: smaller, beside the point. lang: None: the page's own language."""

    kind: ClassVar[str] = "paragraph"
    text: str
    note: bool = False
    lang: str | None = None


@dataclass(frozen=True)
class Table:
    """numbers: columns that hold numbers. folded: shown on a click, under its caption."""

    kind: ClassVar[str] = "table"
    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: frozenset[int] = frozenset()
    folded: bool = False


@dataclass(frozen=True)
class Figure:
    """A chart, or several small ones side by side, and the table with the same values."""

    kind: ClassVar[str] = "figure"
    charts: tuple[Chart, ...]
    title: str
    table: Table | None = None


@dataclass(frozen=True)
class Code:
    """Text to be copied as it is; syntax: for Markdown's fence."""

    kind: ClassVar[str] = "code"
    title: str
    text: str
    syntax: str = ""


Block = Paragraph | Table | Figure | Code


@dataclass(frozen=True)
class Stat:
    """One of the facts that answer the reader first. detail: what to know about it."""

    name: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Answer:
    """headline: the first sentence. tone: whether it is good news."""

    headline: str
    tone: Tone
    lead: tuple[str, ...]
    stats: tuple[Stat, ...]


@dataclass(frozen=True)
class Section:
    """name: its anchor."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """All of it. about: one line under the title. footer: versions and where it was made from."""

    title: str
    about: str
    language: str
    answer: Answer
    sections: tuple[Section, ...]
    footer: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)


def row(*values: str | Cell) -> tuple[Cell, ...]:
    """A row of a table."""
    return tuple(value if isinstance(value, Cell) else Cell(value) for value in values)
