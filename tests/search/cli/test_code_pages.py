"""Terminals that are not UTF-8: what they cannot show is escaped, and nothing fails for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment

#: Traditional Chinese Windows (without simplified characters), Western Windows, a bare container
CODE_PAGES = ("cp950", "cp1252", "ascii")
ROWS = [{"text": "别人说的话", "labels": 0}, {"text": "他是傻瓜😀", "labels": 1}] * 20


def on(code_page: str, *words: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    """`cp-search` whose output is in `code_page`; `more`: environment."""
    here = environment() | {"PYTHONIOENCODING": code_page} | more
    return subprocess.run(
        [sys.executable, "-m", "search.cli", *words], env=here, cwd=ROOT, capture_output=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("code_page", CODE_PAGES)
def test_messages_in_chinese_are_escaped_where_they_cannot_be_shown(code_page: str) -> None:
    refused = on(code_page, "--lang", "zh-TW", "status", "nothing", LC_ALL="C", PYTHONUTF8="0")
    assert refused.returncode == 2
    assert b"Traceback" not in refused.stderr
    (line,) = refused.stderr.decode(code_page).splitlines()
    assert "no study" not in line


@pytest.mark.slow
@pytest.mark.parametrize("code_page", CODE_PAGES)
def test_a_document_is_whole_on_any_code_page(code_page: str, tmp_path: Path) -> None:
    rows = tmp_path / "话.jsonl"
    rows.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS), encoding="utf-8")
    checked = on(code_page, "data", "check", str(rows), "--json")
    found = json.loads(checked.stdout.decode("ascii"))
    assert "话.jsonl" in json.dumps(found, ensure_ascii=False)
    assert b"Traceback" not in checked.stderr
