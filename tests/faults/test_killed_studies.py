"""Processes killed at random moments: a study loses nothing. Many more: `benchmarks/search.py fuzz`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.fuzz import Case, survive


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "jobs"), [(101, 1), (102, 2)])
def test_a_study_whose_processes_are_killed_ends_as_if_they_had_not_been(
    tmp_path: Path, seed: int, jobs: int
) -> None:
    survived = survive(Case(tmp_path / "study", seed=seed, jobs=jobs, kills=4))
    assert sum(survived.kills.values()) >= 1
    assert survived.faults == []
