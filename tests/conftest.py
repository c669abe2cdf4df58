"""What several test packages share: the command line in a process of its own, and pictures of a directory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.search.postgres import Postgres

ROOT = Path(__file__).resolve().parent.parent

CommandLine = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cp_search(tmp_path: Path) -> CommandLine:
    """Run `cp-search` with some arguments, in `cwd` (a fresh directory), and return what came of it."""

    def call(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "search.cli", *arguments]
        return subprocess.run(
            command,
            cwd=cwd or tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )

    return call


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; a test that stops it starts it again."""
    # Not below tmp_path: its user may not look into directories of root's.
    with tempfile.TemporaryDirectory(prefix="cp-search-postgres-") as directory:
        server = Postgres(Path(directory) / "data")
        yield server
        server.stop()


def environment() -> dict[str, str]:
    """This process's environment, with the checkout importable, one thread, and wide plain output."""
    extra = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1"}
    return {**os.environ, **extra, "PYTHONIOENCODING": "utf-8", "HF_HUB_OFFLINE": "1"}


def picture(directory: Path) -> Mapping[str, bytes | None]:
    """Every path below `directory` with its content (None: a directory), to compare before and after."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in sorted(directory.rglob("*"))
    }
