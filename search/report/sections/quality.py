"""How good the model is on rows nothing was chosen on: tasks, classes, confusion, slices."""

from __future__ import annotations

from collections.abc import Sequence

from search.report.facts import StudyFacts
from search.report.page import Block, Cell, Paragraph, Section, Table, row
from search.report.wording import UNKNOWN, percent, score, stored_text, with_span
from search.report.words import Words
from trainer import Assessment, Comparison, Slice, TaskScore


def quality(facts: StudyFacts, words: Words) -> Section | None:
    """The evaluation on test, beside the baseline; None without one."""
    found, baseline = facts.stored.evaluation, facts.stored.baseline
    if found is None:
        return None
    blocks: list[Block] = [Paragraph(words("quality.lead", rows=found.rows))]
    if len(found.tasks) > 1:
        blocks.append(_tasks(found, baseline, words))
    for task in found.tasks:
        blocks += [_classes(task, words), _confusion(task, words, folded=len(found.tasks) > 2)]
    blocks += _slices(found, baseline, words)
    if found.f1_macro.method:
        blocks.append(
            Paragraph(
                words("quality.method", method=stored_text(found.f1_macro.method, words=words)), note=True
            )
        )
    return Section("quality", words("quality.title"), tuple(blocks))


def _tasks(found: Assessment, baseline: Comparison | None, words: Words) -> Table:
    beside = {task.name: task for task in baseline.assessment.tasks} if baseline else {}
    headings = ("task", "rows", "macro_f1", "baseline", "accuracy")
    return Table(
        caption=words("quality.tasks"),
        headings=tuple(words(f"heading.{name}") for name in headings),
        rows=tuple(
            row(
                task.name,
                str(task.rows),
                Cell(with_span(task.f1_macro, words), share=task.f1_macro.value),
                score(beside[task.name].f1_macro.value) if task.name in beside else UNKNOWN,
                with_span(task.accuracy, words),
            )
            for task in found.tasks
        ),
        numbers=frozenset({1, 2, 3, 4}),
    )


def _classes(task: TaskScore, words: Words) -> Table:
    headings = ("class", "support", "predicted", "precision", "recall", "f1_class")
    return Table(
        caption=words("quality.classes", task=task.name),
        headings=tuple(words(f"heading.{name}") for name in headings),
        rows=tuple(
            row(
                one.name,
                str(one.support),
                str(one.predicted),
                percent(one.precision),
                percent(one.recall),
                Cell(with_span(one.f1, words), share=one.f1.value),
            )
            for one in task.classes
        ),
        numbers=frozenset({1, 2, 3, 4, 5}),
    )


def _confusion(task: TaskScore, words: Words, *, folded: bool) -> Table:
    names = [one.name for one in task.classes]
    return Table(
        caption=words("quality.confusion", task=task.name),
        headings=(words("heading.truth"), *(words("heading.as", name=name) for name in names)),
        rows=tuple(row(name, *_shaded(counts)) for name, counts in zip(names, task.confusion, strict=True)),
        numbers=frozenset(range(1, len(names) + 1)),
        folded=folded,
    )


def _shaded(counts: Sequence[int]) -> list[Cell]:
    total = max(1, sum(counts))
    return [Cell(f"{count} ({percent(count / total)})", share=count / total, shaded=True) for count in counts]


def _slices(found: Assessment, baseline: Comparison | None, words: Words) -> list[Block]:
    if not found.slices:
        return []
    beside = {_key(one): one for one in baseline.assessment.slices} if baseline else {}
    headings = ("slice", "rows", "accuracy", "macro_f1", "flagged", "flagged_baseline")
    table = Table(
        caption=words("quality.slices"),
        headings=tuple(words(f"heading.{name}") for name in headings),
        rows=tuple(_slice(one, beside.get(_key(one)), words) for one in found.slices),
        numbers=frozenset({1, 2, 3, 4, 5}),
    )
    lines = [_accused(one, beside.get(_key(one)), words) for one in found.slices if one.falsely_accused]
    return [Paragraph(words("quality.slices_lead")), table, *lines]


def _slice(one: Slice, beside: Slice | None, words: Words) -> tuple[Cell, ...]:
    return row(
        f"{one.column} = {one.value}",
        str(one.rows),
        with_span(one.accuracy, words),
        score(one.f1_macro),
        Cell(percent(one.flagged.value), share=one.flagged.value),
        percent(beside.flagged.value) if beside else UNKNOWN,
    )


def _accused(one: Slice, beside: Slice | None, words: Words) -> Paragraph:
    assert one.falsely_accused is not None
    share = percent(one.falsely_accused.value)
    text = words("quality.accused", slice=f"{one.column} = {one.value}", share=share, rows=one.rows)
    if beside is not None:
        text += words("quality.accused_baseline", share=percent(beside.flagged.value))
    return Paragraph(text)


def _key(one: Slice) -> tuple[str, str, str]:
    return one.column, one.value, one.task
