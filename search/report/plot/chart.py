"""A chart: marks and labels at places, and what it shows in words.

Places are 0 to 1, from the left and from the bottom. The marks become one SVG that stretches with the
page and keeps its line widths; the labels stay text of the page, so they are legible at any width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from search.report.plot.scale import Tick

#: the side of the square in which paths are drawn
SIDE = 1000

Point = tuple[float, float]


@dataclass(frozen=True)
class Mark:
    """A path with a class for its looks; title: shown when it is pointed at."""

    path: str
    kind: str
    title: str = ""


@dataclass(frozen=True)
class Label:
    """A text at a place inside the chart; is_name: what an axis there is called, shown below it."""

    x: float
    y: float
    text: str
    is_name: bool = False


@dataclass(frozen=True)
class Chart:
    """description: for who does not see it. legend: (kind, words). least_width: px; narrower scrolls."""

    name: str
    description: str
    marks: tuple[Mark, ...]
    x_ticks: tuple[Tick, ...] = ()
    y_ticks: tuple[Tick, ...] = ()
    x_label: str = ""
    y_label: str = ""
    legend: tuple[tuple[str, str], ...] = ()
    labels: tuple[Label, ...] = ()
    least_width: int = 0
    small: bool = False

    def drawn(self) -> list[tuple[str, str, str]]:
        """(kind, path, title) to draw, in order: marks without a title are joined by kind."""
        found: list[tuple[str, str, str]] = []
        for mark in self.marks:
            if found and not mark.title and found[-1][0] == mark.kind and not found[-1][2]:
                found[-1] = (mark.kind, found[-1][1] + mark.path, "")
            else:
                found.append((mark.kind, mark.path, mark.title))
        return found


def dot(place: Point) -> str:
    """A path that a round line cap makes a dot, whatever the SVG is stretched to."""
    return f"M{_pair(place)}h0"


def line(places: Sequence[Point]) -> str:
    """A path through the places."""
    return "M" + "L".join(_pair(place) for place in places) if places else ""


def stairs(places: Iterable[Point]) -> str:
    """A path that keeps a value until the next place."""
    path = ""
    for x, y in places:
        path += f"H{_x(x)}V{_y(y)}" if path else f"M{_x(x)} {_y(y)}"
    return path


def _pair(place: Point) -> str:
    return f"{_x(place[0])} {_y(place[1])}"


def _x(x: float) -> str:
    return str(round(x * SIDE))


def _y(y: float) -> str:
    return str(round((1 - y) * SIDE))
