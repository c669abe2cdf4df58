"""Two columns on a terminal."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from search.columns import in_columns
from search.language import cells

WORDS = st.lists(st.text("ab/中文，\u0301", min_size=1, max_size=150), min_size=1)


def test_values_begin_below_each_other_and_a_long_one_goes_on_below_itself() -> None:
    long = " ".join(["learning_rate"] * 8)
    first, second, third = in_columns([("最佳", long), ("Trials", "2 complete")])
    assert first == f" 最佳    {long[: 7 * 14 - 1]}"
    assert second == "         learning_rate"
    assert third == " Trials  2 complete"


def test_a_name_may_be_missing_and_a_value_have_several_lines() -> None:
    assert in_columns([("Best", "one\ntwo"), ("", "three")]) == [" Best  one", "       two", "       three"]


def test_a_tab_takes_the_columns_that_a_terminal_gives_it() -> None:
    assert in_columns([("Best", "a\tb")]) == [" Best  a       b"]


def test_an_accent_written_by_itself_takes_no_column() -> None:
    assert [cells(name) for name in ("e\u0301", "zero\u200bwidth", "soft\u00ad", "最佳")] == [1, 9, 5, 4]
    written = in_columns([("Tre\u0301sor", "kept"), ("Best", "0.8")])
    assert written == [" Tre\u0301sor  kept", " Best    0.8"]


@given(WORDS)
def test_no_line_is_too_wide_none_could_take_the_next_word_and_nothing_is_lost(words: list[str]) -> None:
    value = " ".join(words)
    parts = [line[7:] for line in in_columns([("Best", value)])]
    assert "".join(parts).replace(" ", "") == value.replace(" ", "")
    assert all(cells(part) <= 102 for part in parts)
    for part, following in pairwise(parts):
        word = following.split(" ")[0]
        assert cells(f"{part}{word[0]}") > 102 or cells(f"{part} {word}") > 102
