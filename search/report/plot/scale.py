"""From values to places along an axis, and the round numbers that are written beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from search.report.facts import Axis


@dataclass(frozen=True)
class Tick:
    """A label at `at` (0: start of the axis, 1: its end)."""

    at: float
    label: str


@dataclass(frozen=True)
class Scale:
    """Numbers from low to high along an axis; `log` where factors, not differences, are alike."""

    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        """Where `value` lies, 0 to 1; what is outside lies on the edge."""
        low, high, place = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return min(1.0, max(0.0, (place - low) / (high - low))) if high > low else 0.5

    def ticks(self, most: int = 6) -> tuple[Tick, ...]:
        """Round numbers within the scale, at most about `most`."""
        values = _powers(self.low, self.high, most) if self.log else _rounds(self.low, self.high, most)
        return tuple(Tick(self.at(value), f"{value:.6g}") for value in values)

    def whole_ticks(self, most: int = 8) -> tuple[Tick, ...]:
        """Round whole numbers within the scale."""
        return tuple(tick for tick in self.ticks(most) if float(tick.label).is_integer())


@dataclass(frozen=True)
class Choices:
    """Choices side by side, each in the middle of its share of the axis."""

    choices: Sequence[Any]

    def at(self, value: Any) -> float:
        """Where a choice lies; the middle for one that is not among them."""
        if value not in self.choices:
            return 0.5
        return (self.choices.index(value) + 0.5) / len(self.choices)

    def ticks(self, most: int = 0) -> tuple[Tick, ...]:
        """Every choice."""
        return tuple(Tick(self.at(choice), str(choice)) for choice in self.choices)


def scale_of(axis: Axis) -> Scale | Choices:
    """The scale of a hyperparameter."""
    return Choices(axis.choices) if axis.choices is not None else Scale(axis.low, axis.high, axis.log)


def around(values: Iterable[float], *, margin: float = 0.06) -> Scale:
    """A scale that holds all values with some air; 0 to 1 for none."""
    known = list(values)
    if not known:
        return Scale(0.0, 1.0)
    low, high = min(known), max(known)
    air = (high - low) * margin if high > low else abs(high) * 0.1 or 1.0
    return Scale(low - air, high + air)


def _rounds(low: float, high: float, most: int) -> list[float]:
    if high <= low:
        return [low]
    rough = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(count * step, 12) for count in range(first, math.floor(high / step + 1e-9) + 1)]


def _powers(low: float, high: float, most: int) -> list[float]:
    """Powers of ten, and twos and fives between them where there is room."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [factor * 10.0**decade for decade in decades for factor in factors]
        inside = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(inside) <= most:
            break
    return inside or [low, high]
