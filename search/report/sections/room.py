"""Memory: planned and measured, what was trimmed and why, every time a trial ran out of it."""

from __future__ import annotations

from search.report.facts import StudyFacts, TrialFacts
from search.report.page import Block, Cell, Figure, Paragraph, Section, Table, row
from search.report.plot.memory import memory
from search.report.wording import UNKNOWN, percent, size, stored_cell
from search.report.words import Words
from search.values import short


def room(facts: StudyFacts, words: Words) -> Section:
    """The section; it says so where there was no card."""
    chart = memory(facts, words)
    blocks: list[Block] = []
    if facts.card is None:
        blocks.append(Paragraph(words("memory.no_card")))
    else:
        blocks.append(Paragraph(words("memory.card", card=facts.card)))
    if chart is not None:
        blocks.append(Figure((chart,), words("memory.title"), _sizes(facts, words)))
    elif facts.card is not None:
        blocks.append(Paragraph(words("memory.unknown")))
    if facts.card is not None:
        blocks += [_trimmed(facts, words), _events(facts, words)]
    return Section("memory", words("memory.section"), tuple(blocks))


def _sizes(facts: StudyFacts, words: Words) -> Table:
    headings = ("trial", "planned", "measured", "ratio", "limit", "measures")
    shown = [one for one in facts.trials if one.predicted_bytes is not None or one.measured_bytes is not None]
    return Table(
        caption=words("memory.table"),
        headings=tuple(words(f"heading.{name}") for name in headings),
        rows=tuple(_size_row(trial, words) for trial in shown),
        numbers=frozenset({0, 1, 2, 3, 4}),
        folded=True,
    )


def _size_row(trial: TrialFacts, words: Words) -> tuple[Cell, ...]:
    planned, measured = trial.predicted_bytes, trial.measured_bytes
    return row(
        str(trial.number),
        size(planned),
        size(measured),
        percent(measured / planned) if planned and measured else UNKNOWN,
        size(trial.limit_bytes),
        stored_cell(*trial.measures, words=words),
    )


def _trimmed(facts: StudyFacts, words: Words) -> Paragraph | Table:
    if not facts.trimmed:
        return Paragraph(words("memory.nothing_trimmed"))
    headings = ("hyperparameter", "choice", "needed", "available")
    return Table(
        caption=words("memory.trimmed"),
        headings=tuple(words(f"heading.{name}") for name in headings),
        rows=tuple(
            row(one.key, short(one.choice), size(one.needed_bytes), size(one.limit_bytes))
            for one in facts.trimmed
        ),
        numbers=frozenset({1, 2, 3}),
    )


def _events(facts: StudyFacts, words: Words) -> Paragraph | Table:
    """Every out-of-memory event: a step that was cut smaller, a trial for which nothing smaller was left."""
    rows = [
        row(
            str(trial.number),
            Cell(str(event.get("where", UNKNOWN)), lang="en"),
            words("memory.halved", old=event.get("from_tokens", "?"), new=event.get("to_tokens", "?")),
        )
        for trial in facts.trials
        for event in trial.oom_events
    ]
    rows += [
        row(str(trial.number), stored_cell(trial.error or UNKNOWN, words=words), words("memory.ended"))
        for trial in facts.trials
        if trial.cause == "oom"
    ]
    if not rows:
        return Paragraph(words("memory.no_events"))
    headings = tuple(words(f"heading.{name}") for name in ("trial", "where", "what"))
    return Table(words("memory.events"), headings, tuple(rows), frozenset({0}), folded=len(rows) > 20)
