"""The pictures show what stands on a terminal, no more and no less."""

from __future__ import annotations

from pathlib import Path

from benchmarks.pictures import HEAD, draw_terminal, screen, shortened

UP, WIPE, RED, PLAIN = "\x1b[1A", "\x1b[2K", "\x1b[31m", "\x1b[0m"


def test_a_bar_that_was_wiped_is_gone_and_the_lines_above_it_stay() -> None:
    written = (
        f"one\r\n\r{WIPE}bar 1\r\nbar 2\r{WIPE}{UP}{WIPE}two\r\nbar 1\r\nbar 2\r{WIPE}{UP}{WIPE}three\r\n"
    )
    assert screen(written) == ["one", "two", "three", ""]


def test_colours_stay_and_what_is_not_text_goes() -> None:
    assert screen(f"\x1b[?25lTrial {RED}FAIL{PLAIN}\r\n") == [f"Trial {RED}FAIL{PLAIN}", ""]


def test_the_picture_says_how_many_lines_it_leaves_out() -> None:
    lines = [f"line {number}" for number in range(HEAD + 5)]
    drawn = shortened([*lines, "verdict", "Study quickstart: 1 complete", "Next:", "", ""], language="en")
    shown = [line.plain for line in drawn]
    assert shown[:HEAD] == lines[:HEAD]
    assert shown[HEAD:] == ["⋮ (5 lines left out here)", "verdict", "Study quickstart: 1 complete", "Next:"]


def test_a_picture_asks_for_nothing_on_the_network(tmp_path: Path) -> None:
    written = (
        "".join(f"line {number}\r\n" for number in range(HEAD)) + "verdict\r\n搜尋 quickstart：1 完成\r\n"
    )
    draw_terminal(written, tmp_path / "terminal.svg", language="zh-TW")
    drawn = (tmp_path / "terminal.svg").read_text(encoding="utf-8")
    assert "verdict" in drawn
    assert drawn.replace('xmlns="http://www.w3.org/2000/svg"', "").count("http") == 0
