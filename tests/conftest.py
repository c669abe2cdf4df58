"""What several test packages share: the command line in a process of its own, and pictures of a directory."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Engine

from search.cli import WAITING, main
from search.engine.local import LocalEngine
from search.language.choice import VARIABLE
from tests.search.storage.postgres import Postgres
from trainer.memory import plan
from trainer.memory.request import PlanRequest
from trainer.memory.trace import Trace

ROOT = Path(__file__).resolve().parent.parent

CommandLine = Callable[..., subprocess.CompletedProcess[str]]
#: wide plain output
SHOWN = {"COLUMNS": "200", "NO_COLOR": "1"}


@pytest.fixture(scope="session", autouse=True)
def no_power_cut() -> Iterator[None]:
    """Processes are killed here, the power stays on: this one waits for no disk, nor does SQLite in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        event.listen(Engine, "connect", _unsynchronised)
        yield
        event.remove(Engine, "connect", _unsynchronised)


def _unsynchronised(connection: Any, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        with suppress(sqlite3.Error):  # no database, or a locked one: whoever uses it finds that out
            connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture(scope="session", autouse=True)
def migrations_read_once() -> Iterator[None]:
    """Whoever makes a database has Alembic execute every migration of Optuna's, which stay what they are."""
    read = ScriptDirectory.from_config
    kept: dict[str | None, ScriptDirectory] = {}

    def read_or_remember(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in kept:
            kept[place] = read(config)
        return kept[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", read_or_remember)
        yield


@pytest.fixture(scope="session", autouse=True)
def statements_compiled_once() -> Iterator[None]:
    """Whoever opens an SQLite file has each statement of Optuna compiled anew, though they stay the same.

    Processes that tests start keep to SQLAlchemy's own way.
    """
    kept: dict[Any, Any] = {}

    def share(connection: Connection) -> None:
        if isinstance(connection.dialect, SQLiteDialect_pysqlite):
            connection.execution_options(compiled_cache=kept)

    with pytest.MonkeyPatch.context() as patch:  # the dialect is part of what a statement is kept under
        patch.setattr(SQLiteDialect_pysqlite, "__eq__", lambda one, other: type(one) is type(other))
        patch.setattr(SQLiteDialect_pysqlite, "__hash__", lambda one: hash(type(one)))
        event.listen(Engine, "engine_connect", share)
        yield
        event.remove(Engine, "engine_connect", share)


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


@pytest.fixture
def cp_search_here(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    """As `cp_search`, but in this process, which has imported everything: where its start plays no part."""

    def call(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        with pytest.MonkeyPatch.context() as there:
            for name in (*WAITING, VARIABLE):
                there.setenv(name, "")  # what the command sets does not stay
                there.delenv(name)
            for name, value in SHOWN.items():
                there.setenv(name, value)
            there.chdir(cwd or tmp_path)
            there.setattr(sys, "argv", ["cp-search", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
        said = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), said.out, said.err)

    return call


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets the CPU have these flags (of /proc/cpuinfo), as far as this process asks."""
    return partial(play_processor, directory=tmp_path, patch=monkeypatch)


def play_processor(flags: str, *, directory: Path, patch: pytest.MonkeyPatch) -> None:
    """The CPU has these flags from now on, and the kernel lends what they promise."""
    cpuinfo = directory / "cpuinfo"
    cpuinfo.write_text(f"processor : 0\nflags : {flags}\nbugs : amx_bf16\n", encoding="utf-8")
    patch.setattr("trainer.processor.CPUINFO", cpuinfo)
    patch.setattr("trainer.processor.lends_tiles", lambda: True)


@pytest.fixture
def steps_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever plans again what this test planned before gets the same traces, as a new one would be."""
    kept: dict[tuple[PlanRequest, tuple[int, ...]], dict[int, Trace]] = {}
    trace = plan._rehearse

    def trace_or_remember(request: PlanRequest, rows: Sequence[int]) -> dict[int, Trace]:
        key = (request, tuple(rows))
        if key not in kept:
            kept[key] = trace(request, rows)
        return kept[key]

    monkeypatch.setattr(plan, "_rehearse", trace_or_remember)


@pytest.fixture(scope="module")
def warm_children() -> None:
    """Children of this process find torch imported, also after tests that have no use for it there.

    One forkserver serves a process for good, with what the first engine asked for: it is ended.
    """
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # there is no other way
    LocalEngine()
    forkserver.ensure_running()


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
    extra = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **SHOWN}
    return {**os.environ, **extra, "PYTHONIOENCODING": "utf-8", "HF_HUB_OFFLINE": "1"}


def picture(directory: Path) -> Mapping[str, bytes | None]:
    """Every path below `directory` with its content (None: a directory), to compare before and after."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in sorted(directory.rglob("*"))
    }
