"""Charts of how a search went: its history, and what every trial reported on its way."""

from __future__ import annotations

from search.report.facts import StudyFacts, TrialFacts
from search.report.plot.chart import Chart, Mark, dot, line, stairs
from search.report.plot.looks import by_kind, kind_of, legend, titles
from search.report.plot.scale import Scale, around
from search.report.words import Words


def history(facts: StudyFacts, words: Words) -> Chart | None:
    """Every trial's value in the order they were made, and the best so far."""
    shown = [trial for trial in facts.trials if trial.last is not None]
    if not shown:
        return None
    x = Scale(-0.5, max(trial.number for trial in facts.trials) + 0.5)
    y = around(trial.last for trial in shown if trial.last is not None)
    titled = titles(facts, words)
    dots = [
        Mark(dot((x.at(trial.number), y.at(trial.last or 0.0))), kind_of(trial), titled(trial))
        for trial in shown
    ]
    best = [(x.at(number), y.at(value)) for number, value in _best_so_far(facts)]
    return Chart(
        name="history",
        description=words("history.alt", trials=len(shown)),
        marks=(
            *([Mark(stairs(best) + "H1000", "best-line")] if best else []),
            *by_kind(dots),
            *_crown(facts, x, y),
        ),
        x_ticks=x.whole_ticks(),
        y_ticks=y.ticks(),
        x_label=words("axis.trial"),
        y_label=words("axis.f1"),
        legend=legend(
            [*dots, *_crown(facts, x, y)],
            words,
            *([("best-line", words("legend.best_so_far"))] if best else []),
        ),
    )


def curves(facts: StudyFacts, words: Words) -> Chart | None:
    """What every trial reported on its way; those that were stopped end early."""
    shown = [trial for trial in facts.trials if trial.reports]
    if not shown:
        return None
    x = Scale(0.7, max(max(trial.reports) for trial in shown) + 0.3)
    y = around(value for trial in shown for value in trial.reports.values())
    titled = titles(facts, words)

    marks = []
    for trial in shown:
        places = [(x.at(step), y.at(value)) for step, value in sorted(trial.reports.items())]
        marks.append(Mark(line(places), f"{_curve_kind(trial, facts)} curve", titled(trial)))
        marks.append(Mark(dot(places[-1]), f"{_curve_kind(trial, facts)} end"))
    return Chart(
        name="curves",
        description=words("curves.alt", trials=len(shown)),
        marks=by_kind(marks),
        x_ticks=x.whole_ticks(),
        y_ticks=y.ticks(),
        x_label=words("axis.evaluation"),
        y_label=words("axis.f1"),
        legend=legend(marks, words),
    )


def _crown(facts: StudyFacts, x: Scale, y: Scale) -> list[Mark]:
    """A mark on the best trial."""
    best = facts.best
    if best is None or best.value is None:
        return []
    return [Mark(dot((x.at(best.number), y.at(best.value))), "best dot")]


def _curve_kind(trial: TrialFacts, facts: StudyFacts) -> str:
    return "best" if trial == facts.best else kind_of(trial)


def _best_so_far(facts: StudyFacts) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    for trial in facts.trials:
        if trial.value is not None and (not found or trial.value > found[-1][1]):
            found.append((trial.number, trial.value))
    return found
