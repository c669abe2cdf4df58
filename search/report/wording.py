"""Numbers as the report writes them."""

from __future__ import annotations

from collections.abc import Sequence

from search.language import translated
from search.report.page import Cell, Paragraph
from search.report.words import Words
from trainer import Interval, show_size

UNKNOWN = "–"


def score(value: float | None) -> str:
    """Four digits: `0.7750`; a dash for what is not known."""
    return UNKNOWN if value is None else f"{value:.4f}"


def signed(value: float) -> str:
    """`+0.0123`, `−0.0045` with a minus sign."""
    return f"{value:+.4f}".replace("-", "−")


def percent(value: float | None) -> str:
    """`12.5 %`."""
    return UNKNOWN if value is None else f"{100 * value:.1f} %"


def size(value: int | None) -> str:
    """`512 MiB`."""
    return UNKNOWN if value is None else show_size(value)


def span(interval: Interval, words: Words) -> str:
    """`0.7639 to 0.7861`; a dash where nothing is known of the spread."""
    if interval.low is None or interval.high is None:
        return UNKNOWN
    return words("interval.span", low=score(interval.low), high=score(interval.high))


def with_span(interval: Interval | None, words: Words) -> str:
    """`0.7750 (0.7639 to 0.7861)`; the value alone where nothing is known of the spread."""
    if interval is None:
        return UNKNOWN
    if interval.low is None or interval.high is None:
        return score(interval.value)
    return words("interval.value", value=score(interval.value), span=span(interval, words))


def stored_note(*texts: str, words: Words, before: str = "") -> Paragraph:
    """Sentences the study keeps in English, in the page's language where they have a translation."""
    said = stored_text(*texts, words=words)
    return Paragraph(before + said, note=True, lang=_left_english(said, texts))


def stored_cell(*texts: str, words: Words) -> Cell:
    """The same in a cell of a table."""
    said = stored_text(*texts, words=words)
    return Cell(said, lang=_left_english(said, texts))


def stored_text(*texts: str, words: Words) -> str:
    """The same as a piece of a sentence."""
    return words("between").join(translated(text, language=words.language) for text in texts)


def _left_english(said: str, texts: Sequence[str]) -> str | None:
    return "en" if all(text in said for text in texts) else None
