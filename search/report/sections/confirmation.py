"""Whether the best trial was lucky: the top trials on fresh seeds, and an ensemble of them."""

from __future__ import annotations

from search.finish.confirmation import Candidate, Confirmation
from search.finish.ensemble_record import EnsembleRecord
from search.report.facts import StudyFacts
from search.report.page import Block, Cell, Paragraph, Section, Table, row
from search.report.wording import UNKNOWN, score, signed, size, stored_note, with_span
from search.report.words import Words


def confirmation(facts: StudyFacts, words: Words) -> Section:
    """The candidates, ties and luck; says so where nothing was confirmed."""
    found = facts.stored.confirmation
    blocks: list[Block] = []
    if found is None:
        blocks.append(Paragraph(words("confirm.none")))
    else:
        blocks += _found(found, words)
    if facts.stored.ensemble is not None:
        blocks += _ensemble(facts.stored.ensemble, words)
    return Section("confirmation", words("confirm.title"), tuple(blocks))


def _found(found: Confirmation, words: Words) -> list[Block]:
    blocks: list[Block] = [
        Paragraph(words("confirm.lead", trials=len(found.candidates), seeds=len(found.seeds)))
    ]
    if found.luck is not None:
        blocks.append(Paragraph(words("confirm.luck", luck=signed(found.luck))))
    tied = [str(one.trial) for one in found.candidates if one.tied]
    if len(tied) > 1:
        blocks.append(Paragraph(words("confirm.tied", trials=", ".join(tied))))
    if found.cheaper is not None:
        blocks.append(Paragraph(words("confirm.cheaper", number=found.cheaper)))
    headings = ("trial", "search_value", "mean", "deviation", "luck", "tied", "time", "planned")
    table = Table(
        caption=words("confirm.table"),
        headings=tuple(words(f"heading.{name}") for name in headings),
        rows=tuple(_candidate(one, words, chosen=one.trial == found.chosen) for one in found.candidates),
        numbers=frozenset({1, 2, 3, 4, 6, 7}),
    )
    notes = [text for text in (found.tie_rule, found.cheaper_reason) if text]
    return [*blocks, table, *(stored_note(text, words=words) for text in notes)]


def _candidate(one: Candidate, words: Words, *, chosen: bool) -> tuple[Cell, ...]:
    return row(
        words("confirm.chosen", number=one.trial) if chosen else str(one.trial),
        score(one.search_value),
        with_span(one.mean, words),
        score(one.deviation),
        signed(one.luck) if one.luck is not None else UNKNOWN,
        words("yes") if one.tied else words("no"),
        words.duration(one.seconds),
        size(one.predicted_peak_bytes),
    )


def _ensemble(found: EnsembleRecord, words: Words) -> list[Block]:
    text = words(
        "confirm.ensemble",
        members=len(found.members),
        together=with_span(found.together, words),
        single=with_span(found.single, words),
        kept=words("confirm.kept" if found.kept else "confirm.not_kept"),
    )
    reason = [stored_note(found.reason, words=words)] if found.reason else []
    return [Paragraph(text), *reason]
