"""Directories, databases, storages, hub."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import optuna
import pytest

from search.doctor.places import database, directory, hub, remote


def test_a_directory_that_can_be_written_is_well_and_stays_as_it_was(tmp_path: Path) -> None:
    assert directory("Studies", tmp_path / "not" / "yet").state in ("ok", "note")
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_directory_should_be_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "studies").write_text("", encoding="utf-8")
    finding = directory("Studies", tmp_path / "studies")
    assert finding.state == "fault"
    assert "no directory" in finding.found


def test_a_directory_without_write_access_is_a_fault() -> None:
    # /proc refuses everybody, root too.
    finding = directory("Studies", Path("/proc/studies"))
    assert finding.state == "fault"
    assert "--studies-dir" in str(finding.remedy)


def test_a_whole_database_is_well_and_counts_its_studies(tmp_path: Path) -> None:
    path = tmp_path / "one.db"
    optuna.create_study(storage=f"sqlite:///{path}", study_name="one")
    assert database(path).found.endswith("studies in it: 1")


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
def test_a_file_that_is_no_study_is_a_fault_and_stays_as_it_was(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.db"
    path.write_bytes(content)
    assert database(path).state == "fault"
    assert path.read_bytes() == content


def test_a_database_with_a_damaged_page_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    optuna.create_study(storage=f"sqlite:///{path}", study_name="one")
    with sqlite3.connect(path) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as stream:
        stream.seek(3 * size)
        stream.write(b"\xff" * size)
    assert database(path).state == "fault"


def test_a_storage_that_is_not_there_is_a_fault_without_its_password(tmp_path: Path) -> None:
    finding = remote("postgresql+psycopg://user:secret@127.0.0.1:9/none")
    assert finding.state == "fault"
    assert "secret" not in finding.found


def test_an_offline_hub_is_a_note_that_says_what_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    finding = hub()
    assert finding.state == "note"
    assert "cache" in str(finding.remedy)


def test_a_hub_that_cannot_be_reached_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert hub().state == "note"
