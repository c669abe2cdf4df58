"""Charts of values against results: parallel coordinates, and a slice for every hyperparameter."""

from __future__ import annotations

from search.report.facts import Axis, StudyFacts, TrialFacts
from search.report.plot.chart import Chart, Label, Mark, Point, dot, line
from search.report.plot.looks import by_kind, kind_of, titles
from search.report.plot.scale import Scale, Tick, around, scale_of
from search.report.words import Words

#: px that an axis of the parallel coordinates wants
_AXIS_WIDTH = 96
#: the axes of the parallel coordinates lie between these places; the last one is the result
_LEFT, _RIGHT = 0.07, 0.92


def parallel(facts: StudyFacts, words: Words) -> Chart | None:
    """One line a trial through all its hyperparameters, to its value; the better the stronger."""
    shown, axes = _ranked(facts), facts.axes
    if len(shown) < 2 or len(axes) < 2:
        return None
    values = around((trial.last or 0.0 for trial, _ in shown), margin=0.0)
    places = [_LEFT + (_RIGHT - _LEFT) * index / len(axes) for index in range(len(axes) + 1)]
    titled = titles(facts, words)
    grid = Mark("".join(f"M{round(x * 1000)} 0V1000" for x in places), "axis")
    routes = [Mark(line(_route(trial, axes, places, values)), kind, titled(trial)) for trial, kind in shown]
    return Chart(
        name="parallel",
        description=words("parallel.alt", trials=len(shown)),
        marks=(grid, *routes),
        labels=_axis_labels(axes, places, values, last=words("axis.f1")),
        legend=(("q4", words("legend.good")), ("q0", words("legend.poor")), ("best", words("legend.best"))),
        least_width=_AXIS_WIDTH * len(places),
    )


def _route(trial: TrialFacts, axes: tuple[Axis, ...], places: list[float], values: Scale) -> list[Point]:
    """Where a trial's line goes; it passes by the axes of values it does not have."""
    route = [
        (x, scale_of(axis).at(trial.params[axis.key]))
        for x, axis in zip(places, axes, strict=False)
        if axis.key in trial.params
    ]
    return [*route, (places[-1], values.at(trial.last or 0.0))]


def _axis_labels(
    axes: tuple[Axis, ...], places: list[float], values: Scale, *, last: str
) -> tuple[Label, ...]:
    """The name below each axis, and its ticks beside it."""
    scales = [*(scale_of(axis) for axis in axes), values]
    names = [*(axis.name for axis in axes), last]
    ticks = [
        Label(x, tick.at, tick.label)
        for x, scale in zip(places, scales, strict=True)
        for tick in scale.ticks(4)
    ]
    return (*ticks, *(Label(x, 0.0, name, is_name=True) for x, name in zip(places, names, strict=True)))


def slices(facts: StudyFacts, words: Words) -> list[Chart]:
    """The trials' values against each hyperparameter by itself, the most important one first."""
    order = list(facts.importance)
    ordered = sorted(facts.axes, key=lambda a: order.index(a.key) if a.key in order else len(order))
    found = (_slice(axis, facts, words) for axis in ordered)
    return [chart for chart in found if chart is not None]


def _slice(axis: Axis, facts: StudyFacts, words: Words) -> Chart | None:
    shown = [trial for trial in facts.trials if trial.last is not None and axis.key in trial.params]
    if len(shown) < 2:
        return None
    x = scale_of(axis)
    y = around(trial.last for trial in shown if trial.last is not None)
    titled = titles(facts, words)
    marks = [
        Mark(
            dot((_inside(x.at(trial.params[axis.key])), y.at(trial.last or 0.0))),
            kind_of(trial),
            titled(trial),
        )
        for trial in shown
    ]
    return Chart(
        name=f"slice-{axis.name}",
        description=words("slices.alt", name=axis.name, trials=len(shown)),
        marks=by_kind(marks),
        x_ticks=tuple(Tick(_inside(tick.at), tick.label) for tick in x.ticks(4)),
        y_ticks=y.ticks(4),
        x_label=axis.name,
        small=True,
    )


def _ranked(facts: StudyFacts) -> list[tuple[TrialFacts, str]]:
    """Trials with a value, the worst first, with the fifth they are in as a kind: q0 to q4, and best."""
    known = sorted((t for t in facts.trials if t.last is not None), key=lambda t: t.last or 0.0)
    ranked = [
        (trial, f"q{5 * rank // len(known)}") for rank, trial in enumerate(known) if trial != facts.best
    ]
    return [*ranked, (facts.best, "best")] if facts.best is not None else ranked


def _inside(at: float) -> float:
    """A place kept off the edges, where a dot would be cut in half."""
    return 0.03 + 0.94 * at
