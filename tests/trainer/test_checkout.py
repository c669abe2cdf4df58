from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from trainer.checkout import checkout_of

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(directory: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *who, *words], cwd=directory, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    return done.stdout.strip()


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("one = 1\n", encoding="utf-8")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_a_checkout_is_known_by_its_commit(committed: Path) -> None:
    found = checkout_of(committed)
    assert found is not None
    assert (found.commit, found.dirty) == (git(committed, "rev-parse", "HEAD"), False)


def test_a_changed_file_makes_it_dirty_and_a_new_one_does_not(committed: Path) -> None:
    (committed / "results.json").write_text("{}", encoding="utf-8")
    found = checkout_of(committed)
    assert found is not None
    assert not found.dirty
    (committed / "code.py").write_text("one = 2\n", encoding="utf-8")
    found = checkout_of(committed)
    assert found is not None
    assert found.dirty


def test_what_is_no_checkout_or_has_no_commit_has_no_state(tmp_path: Path) -> None:
    assert checkout_of(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert checkout_of(tmp_path) is None


def test_without_git_there_is_no_state(committed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(committed))
    assert checkout_of(committed) is None
