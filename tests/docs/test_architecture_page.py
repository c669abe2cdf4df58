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
