"""`cp-search doctor` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import CommandLine, picture


@pytest.mark.slow
def test_the_doctor_changes_nothing_and_finds_this_machine_fit(
    cp_search: CommandLine, tmp_path: Path
) -> None:
    result = cp_search("doctor")
    assert result.returncode == 0, result.stdout
    assert "Packages" in result.stdout
    assert result.stdout.rstrip().endswith("Nothing to mend")
    assert picture(tmp_path) == {}


@pytest.mark.slow
def test_a_broken_database_makes_exit_2_and_is_named_in_json(cp_search: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.db").write_bytes(b"not a database " * 99)
    result = cp_search("doctor", "--json")
    assert result.returncode == 2
    document = json.loads(result.stdout)
    assert document["faults"] == 1
    (fault,) = [finding for finding in document["findings"] if finding["state"] == "fault"]
    assert "mine.db" in fault["found"]
