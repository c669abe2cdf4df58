"""Places on charts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.report.plot.chart import Chart, Mark, dot, line, stairs
from search.report.plot.scale import Choices, Scale, around


@given(st.lists(st.floats(0.001, 1e6), min_size=1), st.booleans())
def test_every_value_lies_on_its_scale_and_order_is_kept(values: list[float], log: bool) -> None:
    scale = Scale(min(values), max(values), log)
    places = [scale.at(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_few_and_on_the_scale(low: float, width: float) -> None:
    ticks = Scale(low, low + width).ticks(6)
    assert 1 <= len(ticks) <= 8
    assert all(-1e-9 <= tick.at <= 1 + 1e-9 for tick in ticks)


def test_a_logarithmic_scale_has_round_numbers_at_their_places() -> None:
    ticks = Scale(1e-5, 1e-4, log=True).ticks()
    assert [tick.label for tick in ticks] == ["1e-05", "2e-05", "5e-05", "0.0001"]
    assert [round(tick.at, 3) for tick in ticks] == [0.0, 0.301, 0.699, 1.0]


def test_choices_stand_in_the_middle_of_their_shares() -> None:
    choices = Choices(["cls", "mean"])
    assert [choices.at(one) for one in ("cls", "mean", "gone")] == [0.25, 0.75, 0.5]


@pytest.mark.parametrize("values", [[], [0.0], [0.5, 0.5]])
def test_one_value_or_none_still_makes_a_scale(values: list[float]) -> None:
    scale = around(values)
    assert scale.high > scale.low
    assert all(0 < scale.at(value) < 1 for value in values)


def test_paths_go_from_the_bottom_left() -> None:
    assert dot((0.0, 0.0)) == "M0 1000h0"
    assert line([(0.0, 0.0), (1.0, 1.0)]) == "M0 1000L1000 0"
    assert stairs([(0.0, 0.5), (0.5, 1.0)]) == "M0 500H500V0"


def test_marks_without_titles_are_joined_by_kind_and_keep_their_order() -> None:
    marks = (Mark("M0 0h0", "a"), Mark("M1 1h0", "a"), Mark("M2 2h0", "b"), Mark("M3 3h0", "b", "said"))
    assert Chart("c", "d", marks).drawn() == [
        ("a", "M0 0h0M1 1h0", ""),
        ("b", "M2 2h0", ""),
        ("b", "M3 3h0", "said"),
    ]
