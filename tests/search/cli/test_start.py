"""What starting a command that looks at studies costs: what it imports, and its processor time."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from search.storage import sqlite_url
from tests.conftest import environment

GLANCING = [["status", "one"], ["study", "list"]]
LOOKING = [["--help"], *GLANCING, ["study", "show", "one"]]
#: what trains, draws or serves, and what takes long to import though nobody looks at it here
MAKERS = {
    "torch",
    "transformers",
    "sklearn",
    "scipy",
    "pandas",
    "plotly",
    "tensorboard",
    "optuna_dashboard",
    "alembic",
    "jinja2",
    "search.space",
    "search.study",
    "search.room",
    "search.console",
}
#: what takes longer to import than a glance may take
READERS = {"optuna", "sqlalchemy", "numpy", "yaml"}
SHOW_MODULES = """
import sys
from search.cli.app import build_app
try:
    build_app()(args=sys.argv[1:], prog_name="cp-search")
finally:
    sys.stderr.write("\\n".join(sorted(sys.modules)))
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory with a study of one trial."""
    (tmp_path / "studies").mkdir()
    url = sqlite_url(tmp_path / "studies" / "one.db")
    study = optuna.create_study(storage=url, study_name="one", direction="maximize")
    study.add_trial(optuna.trial.create_trial(value=0.5))
    return tmp_path


def python(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=home, env=environment(), capture_output=True, text=True, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_looking_imports_nothing_that_trains_draws_or_migrates(command: list[str], home: Path) -> None:
    loaded = set(python(home, "-c", SHOW_MODULES, *command).stderr.splitlines())
    assert "search.cli.app" in loaded
    assert not MAKERS & loaded


@pytest.mark.slow
@pytest.mark.parametrize("command", GLANCING, ids=" ".join)
def test_a_glance_at_a_file_is_taken_without_optuna(command: list[str], home: Path) -> None:
    loaded = set(python(home, "-c", SHOW_MODULES, *command).stderr.splitlines())
    assert not READERS & loaded


def cpu_seconds(home: Path, *arguments: str) -> float:
    """Processor time of a process, which a busy machine stretches less than its clock."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    python(home, *arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("command", [["--help"], ["train", "--help"]], ids=" ".join)
def test_help_costs_less_than_half_a_second(command: list[str], home: Path) -> None:
    assert any(under(0.5, home, command))


@pytest.mark.slow
@pytest.mark.parametrize("command", GLANCING, ids=" ".join)
def test_a_glance_costs_less_than_half_a_second(command: list[str], home: Path) -> None:
    assert any(under(0.5, home, command))


@pytest.mark.slow
def test_looking_at_every_trial_costs_less_than_a_second_and_a_half(home: Path) -> None:
    assert any(under(1.5, home, ["study", "show", "one"]))


def under(limit_s: float, home: Path, command: list[str]) -> Iterator[bool]:
    """Whether the command took less processor time, up to eight times: one quiet moment is enough."""
    return (cpu_seconds(home, "-m", "search.cli", *command) < limit_s for _ in range(8))
