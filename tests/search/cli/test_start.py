"""What starting a command that looks at studies costs: what it imports, and its processor time."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from search.cli.app import COMMANDS, STUDY_COMMANDS
from search.language import LANGUAGES
from search.storage.url import sqlite_url
from tests.conftest import environment
from tests.search.report.studies import whole_study

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
#: what a glance has no time to import
READERS = {"optuna", "sqlalchemy", "numpy", "yaml", "rich"}
SHOW_MODULES = """
import sys
from search.cli import main
try:
    main()
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


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A directory with a study that has a finished model."""
    whole_study(tmp_path / "studies", name="one")
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


@pytest.mark.slow
@pytest.mark.parametrize("command", GLANCING, ids=" ".join)
def test_a_glance_at_a_finished_model_reads_nothing_by_its_schema(command: list[str], finished: Path) -> None:
    shown = python(finished, "-c", SHOW_MODULES, *command, "--json")
    loaded = set(shown.stderr.splitlines())
    assert '"test_f1_macro": 0.775' in shown.stdout
    assert not (READERS | {"search.finish.final"}) & loaded


@pytest.mark.slow
@pytest.mark.parametrize("command", GLANCING, ids=" ".join)
def test_a_glance_lays_out_the_flags_of_no_other_command(command: list[str], home: Path) -> None:
    loaded = set(python(home, "-c", SHOW_MODULES, *command).stderr.splitlines())
    modules = {f"search.cli.{name}" for name in (*COMMANDS, *(f"study_{name}" for name in STUDY_COMMANDS))}
    assert modules & loaded == {f"search.cli.{'status' if command[0] == 'status' else 'study_list'}"}


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
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("command", GLANCING, ids=" ".join)
def test_a_glance_at_a_finished_model_costs_less_than_half_a_second(
    command: list[str], language: str, finished: Path
) -> None:
    assert any(under(0.5, finished, ["--lang", language, *command]))


@pytest.mark.slow
def test_looking_at_every_trial_costs_less_than_a_second_and_a_half(home: Path) -> None:
    assert any(under(1.5, home, ["study", "show", "one"]))


def under(limit_s: float, home: Path, command: list[str]) -> Iterator[bool]:
    """Whether the command took less processor time, up to eight times: one quiet moment is enough."""
    return (cpu_seconds(home, "-m", "search.cli", *command) < limit_s for _ in range(8))
