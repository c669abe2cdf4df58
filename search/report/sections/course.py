"""How the search went: its history, what pruning saved, the learning curves, every trial in a table."""

from __future__ import annotations

from search.report.facts import StudyFacts, TrialFacts
from search.report.page import Block, Cell, Figure, Paragraph, Section, Table, row
from search.report.plot.progress import curves, history
from search.report.wording import UNKNOWN, score, stored_text
from search.report.words import Words
from search.values import values_line


def course(facts: StudyFacts, words: Words) -> Section:
    """History and pruning; a study without trials says so."""
    if not facts.trials:
        return Section("course", words("course.title"), (Paragraph(words("course.empty")),))
    blocks: list[Block] = [Paragraph(words("course.counts", counts=_counts(facts, words)))]
    blocks.append(Paragraph(_saved(facts, words)))
    chart = history(facts, words)
    if chart is None:
        blocks.append(Paragraph(words("course.no_values")))
    else:
        blocks.append(Figure((chart,), words("history.title")))
    blocks.append(_table(facts, words))
    return Section("course", words("course.title"), tuple(blocks))


def learning(facts: StudyFacts, words: Words) -> Section | None:
    """The learning curves of the trials, and the final training's evaluations."""
    chart = curves(facts, words)
    blocks: list[Block] = []
    if chart is not None:
        steps = sorted({step for trial in facts.trials for step in trial.reports})
        blocks = [
            Paragraph(words("curves.lead")),
            Figure((chart,), words("curves.title"), _reports(facts, steps, words)),
        ]
    if facts.curve:
        blocks.append(_final_curve(facts, words))
    return Section("learning", words("curves.section"), tuple(blocks)) if blocks else None


def _counts(facts: StudyFacts, words: Words) -> str:
    parts = [
        words("course.count", state=words(f"state.{state}"), count=n) for state, n in facts.counts().items()
    ]
    return words("list.comma").join(parts)


def _saved(facts: StudyFacts, words: Words) -> str:
    saved = facts.saving
    if not saved.trials:
        return words("course.none_pruned")
    if saved.seconds is None:
        return words("course.saved_unknown", trials=saved.trials)
    time = words.duration(saved.seconds)
    return words("course.saved", trials=saved.trials, time=time, evaluations=saved.evaluations)


def _table(facts: StudyFacts, words: Words) -> Table:
    headings = ("trial", "state", "f1", "last_report", "evaluations", "time", "values", "cause")
    return Table(
        caption=words("course.table", trials=len(facts.trials)),
        headings=tuple(words(f"heading.{name}") for name in headings),
        rows=tuple(_row(trial, words) for trial in facts.trials),
        numbers=frozenset({0, 2, 3, 4, 5}),
        folded=True,
    )


def _row(trial: TrialFacts, words: Words) -> tuple[Cell, ...]:
    cause = trial.cause or ""
    named = words(f"cause.{cause}") if words.has(f"cause.{cause}") else cause
    error = f": {stored_text(trial.error, words=words)}" if trial.error else ""
    return row(
        str(trial.number),
        words(f"state.{trial.state}"),
        score(trial.value),
        score(trial.reports[max(trial.reports)]) if trial.reports else UNKNOWN,
        str(len(trial.reports)),
        words.duration(trial.seconds) if trial.seconds is not None else UNKNOWN,
        values_line(trial.params),
        f"{named}{error}",
    )


def _reports(facts: StudyFacts, steps: list[int], words: Words) -> Table:
    return Table(
        caption=words("curves.table"),
        headings=(words("heading.trial"), *(str(step) for step in steps)),
        rows=tuple(
            row(str(trial.number), *(score(trial.reports.get(step)) for step in steps))
            for trial in facts.trials
            if trial.reports
        ),
        numbers=frozenset(range(len(steps) + 1)),
        folded=True,
    )


def _final_curve(facts: StudyFacts, words: Words) -> Table:
    columns = ("train_loss", "eval_loss", "eval_f1_macro", "eval_accuracy")
    return Table(
        caption=words("curves.final"),
        headings=(words("heading.evaluation"), *(words(f"heading.{name}") for name in columns)),
        rows=tuple(
            row(str(number), *(score(one.get(name)) for name in columns))
            for number, one in enumerate(facts.curve, start=1)
        ),
        numbers=frozenset(range(len(columns) + 1)),
        folded=True,
    )
