"""Small pictures as SVG files of their own: a learning curve, a confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from search.report.plot.scale import Scale, around

_WIDTH, _HEIGHT, _MARGIN = 640, 360, 56
_TEXT = 'font-family="system-ui, Noto Sans TC, sans-serif" font-size="13" fill="#333"'


def learning_curve(values: Mapping[int, float], *, title: str) -> str:
    """A line through evaluation -> value, which must not be empty."""
    x, y = Scale(min(values) - 0.3, max(values) + 0.3), around(values.values())

    def place(step: float, value: float) -> tuple[float, float]:
        inner_x, inner_y = _WIDTH - 1.5 * _MARGIN, _HEIGHT - 2 * _MARGIN
        return _MARGIN + inner_x * x.at(step), _HEIGHT - _MARGIN - inner_y * y.at(value)

    points = [place(step, value) for step, value in sorted(values.items())]
    route = " ".join(f"{left:.1f},{top:.1f}" for left, top in points)
    parts = [f'<polyline points="{route}" fill="none" stroke="#0a6b66" stroke-width="2.5"/>']
    parts += [f'<circle cx="{left:.1f}" cy="{top:.1f}" r="4" fill="#0a6b66"/>' for left, top in points]
    for tick in y.ticks(5):
        top = _HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * tick.at
        parts.append(
            f'<text x="{_MARGIN - 8}" y="{top + 4:.1f}" text-anchor="end" {_TEXT}>{tick.label}</text>'
        )
        parts.append(f'<path d="M{_MARGIN} {top:.1f}H{_WIDTH - _MARGIN / 2}" stroke="#ddd"/>')
    for step, (left, _) in zip(sorted(values), points, strict=True):
        below = _HEIGHT - _MARGIN + 20
        parts.append(f'<text x="{left:.1f}" y="{below}" text-anchor="middle" {_TEXT}>{step}</text>')
    return _svg(parts, title=title, width=_WIDTH, height=_HEIGHT)


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str], *, title: str) -> str:
    """A matrix: rows are the truth, columns what the model says, shaded by the share of the row."""
    side, left, top = 96, 130, 84
    parts = []
    for row, (name, cells) in enumerate(zip(classes, counts, strict=True)):
        middle = top + side * row + side / 2 + 4
        parts.append(f'<text x="{left - 10}" y="{middle}" text-anchor="end" {_TEXT}>{escape(name)}</text>')
        for column, count in enumerate(cells):
            share = count / max(1, sum(cells))
            corner = f'x="{left + side * column}" y="{top + side * row}" width="{side}" height="{side}"'
            parts.append(f'<rect {corner} fill="#0a6b66" fill-opacity="{0.6 * share:.2f}" stroke="#ddd"/>')
            centre = left + side * column + side / 2
            parts.append(f'<text x="{centre}" y="{middle}" text-anchor="middle" {_TEXT}>{count}</text>')
    for column, name in enumerate(classes):
        centre = left + side * column + side / 2
        parts.append(f'<text x="{centre}" y="{top - 10}" text-anchor="middle" {_TEXT}>{escape(name)}</text>')
    width, height = left + side * len(classes) + 30, top + side * len(classes) + 30
    return _svg(parts, title=title, width=width, height=height)


def _svg(parts: Sequence[str], *, title: str, width: float, height: float) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
    paper = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    said = escape(title)
    name = f'<title>{said}</title><text x="20" y="30" font-weight="600" {_TEXT}>{said}</text>'
    return "".join((head, paper, name, *parts, "</svg>"))
