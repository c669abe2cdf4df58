"""The commands that a run and a report print find the study they speak of."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.report.reach import directory_flag, flags
from search.storage.url import sqlite_url


@pytest.mark.parametrize(
    ("directory", "storage", "said"),
    [
        ("studies/one", "sqlite:///studies/one.db", ""),
        ("elsewhere/one", "sqlite:///elsewhere/one.db", " --studies-dir elsewhere"),
        ("my studies/one", "sqlite:///my studies/one.db", ' --studies-dir "my studies"'),
        ("studies/one", "sqlite:///lab.db", " --storage sqlite:///lab.db"),
        ("studies/one", "grpc://127.0.0.1:13000", " --storage grpc://127.0.0.1:13000"),
        (
            "d/one",
            "postgresql+psycopg://ann:***@db/lab",
            " --studies-dir d --storage postgresql+psycopg://ann@db/lab",
        ),
    ],
)
def test_a_study_is_found_where_it_lies(directory: str, storage: str, said: str) -> None:
    assert flags(directory, storage) == said
    assert said.startswith(directory_flag(directory))


def test_a_file_beside_its_trials_is_known_by_its_absolute_path_too() -> None:
    assert flags("studies/one", sqlite_url(Path("studies/one.db").resolve())) == ""
