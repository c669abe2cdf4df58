"""The architecture page has a row for every module of the two packages' first level."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

ROW = re.compile(r"^\| (`[^|]*) \|", re.MULTILINE)
#: what every package has
SILENT = {"__init__.py", "__pycache__"}


def named(package: str) -> set[str]:
    """First parts of the paths in the first column of the package's table."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    part = page.split(f"\n## {package}/\n")[1].split("\n## ")[0]
    return {path.split("/")[0] for cell in ROW.findall(part) for path in re.findall("`([^`]+)`", cell)}


@pytest.mark.parametrize("package", ["trainer", "search"])
def test_every_module_has_its_row_and_every_row_its_module(package: str) -> None:
    there = {path.name for path in (ROOT / package).iterdir() if path.suffix in {"", ".py"}}
    assert named(package) == there - SILENT


#: name on one of the two walks -> the file where the page says it is
WALKED = {
    "read_dimensions": "search/dimension.py",
    "suggest": "search/objective.py",
    "trial_config": "search/space.py",
    "TrainJob": "search/engine/job.py",
    "lay_out": "trainer/layout.py",
    "Assembly": "trainer/assembly.py",
    "parameter_groups": "trainer/optimizer.py",
    "build_schedule": "trainer/schedule.py",
    "classified": "trainer/memory/foreign.py",
    "Recovery": "trainer/memory/recovery.py",
    "Progress": "trainer/checkpoint.py",
    "OutOfMemory": "trainer/errors.py",
    "judge": "search/verdict.py",
    "tell": "search/telling.py",
    "trial_facts": "search/report/gather.py",
    "trial_note": "search/board/notes.py",
}


@pytest.mark.parametrize("name", WALKED)
def test_every_station_of_the_walks_is_where_the_page_says(name: str) -> None:
    walks = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("## Two walks")[1]
    assert re.search(rf"`(?:\w+\.)?{name}(?:\.\w+)?`", walks)
    source = (ROOT / WALKED[name]).read_text(encoding="utf-8")
    assert re.search(rf"^ *(?:def|class) {name}\b", source, re.MULTILINE)
