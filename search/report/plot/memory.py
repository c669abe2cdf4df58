"""The chart of planned and measured memory."""

from __future__ import annotations

from search.report.facts import StudyFacts, TrialFacts
from search.report.plot.chart import Chart, Mark, dot, line
from search.report.plot.looks import by_kind
from search.report.plot.scale import Scale
from search.report.words import Words

MIB = 2**20


def memory(facts: StudyFacts, words: Words) -> Chart | None:
    """Planned and measured peak of every trial, in MiB, below the card's limit."""
    shown = [t for t in facts.trials if t.predicted_bytes is not None or t.measured_bytes is not None]
    if not shown:
        return None
    sizes = [size for t in shown for size in (t.predicted_bytes, t.measured_bytes) if size is not None]
    limit = max((trial.limit_bytes or 0 for trial in shown), default=0)
    x = Scale(-0.5, max(trial.number for trial in facts.trials) + 0.5)
    y = Scale(0.0, max([limit, *sizes]) * 1.08 / MIB)
    marks = [Mark(line([(0.0, y.at(limit / MIB)), (1.0, y.at(limit / MIB))]), "limit")] if limit else []
    for trial in shown:
        marks += _sizes(trial, x.at(trial.number), y)
    kinds = {mark.kind for mark in marks}
    named = [("planned", "memory.planned"), ("measured", "memory.measured"), ("limit", "memory.limit")]
    return Chart(
        name="memory",
        description=words("memory.alt", trials=len(shown)),
        marks=by_kind(marks),
        x_ticks=x.whole_ticks(),
        y_ticks=y.ticks(),
        x_label=words("axis.trial"),
        y_label="MiB",
        legend=tuple((kind, words(key)) for kind, key in named if kind in kinds),
    )


def _sizes(trial: TrialFacts, x: float, y: Scale) -> list[Mark]:
    places = {
        kind: (x, y.at(size / MIB))
        for kind, size in (("planned", trial.predicted_bytes), ("measured", trial.measured_bytes))
        if size is not None
    }
    stem = [Mark(line(list(places.values())), "stem")] if len(places) == 2 else []
    return [*stem, *(Mark(dot(place), kind) for kind, place in places.items())]
