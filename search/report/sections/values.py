"""What mattered: the importance of the hyperparameters, all of them together, and each by itself."""

from __future__ import annotations

from search.report.facts import StudyFacts
from search.report.page import Block, Cell, Figure, Paragraph, Section, Table, row
from search.report.plot.values import parallel, slices
from search.report.wording import UNKNOWN, percent
from search.report.words import Words
from search.values import short


def values(facts: StudyFacts, words: Words) -> Section | None:
    """Importance, parallel coordinates and slices; None while nothing was searched."""
    if not facts.axes:
        return None
    blocks: list[Block] = []
    if facts.importance:
        blocks += [_importance(facts, words), Paragraph(words("values.importance_note"), note=True)]
    else:
        blocks.append(Paragraph(words("values.no_importance")))
    together = parallel(facts, words)
    if together is not None:
        blocks += [Paragraph(words("parallel.lead")), Figure((together,), words("parallel.title"))]
    each = slices(facts, words)
    if each:
        blocks.append(Figure(tuple(each), words("slices.title")))
    return Section("values", words("values.title"), tuple(blocks))


def _importance(facts: StudyFacts, words: Words) -> Table:
    best = facts.best.params if facts.best else {}
    return Table(
        caption=words("values.importance"),
        headings=tuple(words(f"heading.{name}") for name in ("hyperparameter", "importance", "best_value")),
        rows=tuple(
            row(key, Cell(percent(share), share=share), short(best[key]) if key in best else UNKNOWN)
            for key, share in facts.importance.items()
        ),
        numbers=frozenset({1, 2}),
    )
