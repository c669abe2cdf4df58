"""Lines that grow: what was written is on the disk, what a crash tore is passed over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from search.lines import append_line, read_lines


def test_a_line_is_on_the_disk_when_the_call_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, flushed = tmp_path / "lines.jsonl", list[tuple[int, int]]()

    def note(descriptor: int) -> None:
        found = os.fstat(descriptor)
        flushed.append((found.st_ino, found.st_size))

    monkeypatch.setattr(os, "fsync", note)
    append_line(path, {"a": 1})
    assert flushed == [(path.stat().st_ino, path.stat().st_size)]


def test_a_torn_line_swallows_no_other(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    append_line(path, {"a": 1})
    with path.open("a", encoding="utf-8") as stream:
        stream.write('{"a": ')
    append_line(path, {"a": 2})
    assert read_lines(path) == [{"a": 1}, {"a": 2}]
