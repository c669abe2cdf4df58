"""How the model decides, the errors it is surest of, and what was exported."""

from __future__ import annotations

from search.finish.export_record import ExportRecord
from search.report.facts import StudyFacts
from search.report.page import Block, Cell, Paragraph, Section, Table, row
from search.report.wording import UNKNOWN, percent, score, stored_note
from search.report.words import Words
from trainer import TaskRule


def decision(facts: StudyFacts, words: Words) -> Section | None:
    """Offsets and temperature; None where no rule was fitted."""
    rule = facts.stored.rule
    if rule is None or not rule.tasks:
        return None
    headings = ("task", "offsets", "f1_plain", "f1_fitted", "temperature", "ece_before", "ece_after")
    table = Table(
        caption=words("rule.table"),
        headings=tuple(words(f"heading.{name}") for name in headings),
        rows=tuple(_rule(one, words) for one in rule.tasks),
        numbers=frozenset({2, 3, 4, 5, 6}),
    )
    reasons = [
        stored_note(*one.reason.split("; "), words=words, before=f"{one.task}: ")
        for one in rule.tasks
        if one.reason
    ]
    return Section("rule", words("rule.title"), (Paragraph(words("rule.lead")), table, *reasons))


def mistakes(facts: StudyFacts, words: Words, *, texts: bool) -> Section | None:
    """The errors the model is surest of; without their texts if those are not to be shown."""
    found = facts.stored.evaluation.errors if facts.stored.evaluation else []
    if not found:
        return None
    if not texts:
        return Section(
            "errors", words("errors.title"), (Paragraph(words("errors.hidden", count=len(found))),)
        )
    headings = ("text", "task", "truth", "predicted_as", "sure", "line")
    table = Table(
        caption=words("errors.table"),
        headings=tuple(words(f"heading.{name}") for name in headings),
        rows=tuple(
            row(
                Cell(one.text, lang="zh"),
                one.task,
                one.label,
                one.predicted,
                percent(one.sure),
                str(one.line),
            )
            for one in found
        ),
        numbers=frozenset({4, 5}),
    )
    return Section("errors", words("errors.title"), (Paragraph(words("errors.lead")), table))


def export(facts: StudyFacts, words: Words) -> list[Block]:
    """Where the exported model is, and how it was checked."""
    record = facts.stored.export
    final = facts.stored.final
    if record is None:
        if final is None or final.model_dir is None:
            return [Paragraph(words("export.none"))]
        difference = final.reloaded_difference
        checked = words("export.reloaded", difference=f"{difference:.1e}") if difference is not None else ""
        return [Paragraph(words("export.at", path=final.model_dir) + checked)]
    return [Paragraph(words("export.at", path=record.directory) + _checked(record, words))]


def _checked(record: ExportRecord, words: Words) -> str:
    text = words("export.reloaded", difference=f"{record.difference:.1e}")
    if record.reloaded_rows:
        text += words(
            "export.evaluated",
            rows=record.reloaded_rows,
            score=score(record.reloaded_f1_macro),
            differing=record.reloaded_differing,
        )
    if record.onnx is not None:
        onnx = record.onnx
        difference = f"{onnx.largest_difference:.1e}"
        text += words("export.onnx", difference=difference, texts=onnx.texts, speed=f"{onnx.speed:.2f}")
    return text


def _rule(one: TaskRule, words: Words) -> tuple[Cell, ...]:
    return row(
        one.task,
        words("rule.kept" if one.offsets_kept else "rule.not_kept"),
        score(one.f1_before),
        score(one.f1_after),
        f"{one.temperature:.2f}" if one.temperature_kept else UNKNOWN,
        score(one.ece_before),
        score(one.ece_after),
    )
