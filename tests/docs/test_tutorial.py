"""The tutorial works: its commands are run in their order, on a table like the one it speaks of."""

from __future__ import annotations

import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, CommandLine, environment

PAGES = ["tutorial.md", "tutorial.zh-TW.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[list[str]]:
    """The words of every line in the page's plain blocks."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    lines = [line for kind, block in BLOCK.findall(text) if not kind for line in block.splitlines()]
    return [shlex.split(line) for line in lines]


def write_table(path: Path, rows: int = 240) -> None:
    """Comments of 40 users, one in ten without a label, one text twice."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["comment", "toxic", "user"])
        for index in range(rows):
            rude = index % 3 == 0
            label = "" if index % 10 == 9 else "yes" if rude else "no"
            writer.writerow(
                [
                    f"第{index}則{'你真爛' if rude else '你真好'}，謝謝{index * 7 % 11}",
                    label,
                    f"user{index % 40}",
                ]
            )
        writer.writerow(["第0則你真爛，謝謝0", "yes", "user0"])


@pytest.mark.slow
def test_the_tutorial_can_be_followed_word_for_word(cp_search: CommandLine, tmp_path: Path) -> None:
    write_table(tmp_path / "comments.csv")
    for words in commands(PAGES[0]):
        assert words[0] == "cp-search"
        result = cp_search(*words[1:], cwd=tmp_path)
        assert result.returncode == 0, (words, result.stdout, result.stderr)
    program = PYTHON.search((ROOT / "docs" / PAGES[0]).read_text(encoding="utf-8"))
    assert program is not None
    (tmp_path / "use.py").write_text(program[1], encoding="utf-8")
    used = subprocess.run(
        [sys.executable, "use.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert used.returncode == 0, used.stderr
    assert "score" in used.stdout


def test_both_languages_give_the_same_commands() -> None:
    assert commands(PAGES[0]) == commands(PAGES[1])
