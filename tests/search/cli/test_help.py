"""`--help` of every command, and what starting the command line costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from search.cli.app import build_app
from tests.conftest import CommandLine, environment


def paths(command: Any, *words: str) -> Iterator[list[str]]:
    """The words of every command below `command`."""
    if not isinstance(command, typer.core.TyperGroup):
        yield list(words)
        return
    for name, below in command.commands.items():
        yield from paths(below, *words, name)


COMMANDS = list(paths(get_command(build_app())))
HEAVY = {"torch", "transformers", "optuna", "optuna_dashboard", "sklearn", "numpy", "tensorboard"}

SHOW_MODULES = """
import sys
from search.cli.app import build_app
try:
    build_app()(args=sys.argv[1:], prog_name="cp-search")
finally:
    sys.stderr.write("\\n".join(sorted(sys.modules)))
"""


def help_of(command: list[str], cwd: Path) -> tuple[str, set[str]]:
    """What `--help` of a command prints, and the modules it took to print it."""
    result = subprocess.run(
        [sys.executable, "-c", SHOW_MODULES, *command, "--help"],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return result.stdout, set(result.stderr.splitlines())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_explains_the_command_with_an_example_and_imports_nothing_heavy(
    command: list[str], tmp_path: Path
) -> None:
    text, modules = help_of(command, tmp_path)
    assert text.startswith(f"Usage: cp-search {' '.join(command)}")
    assert "Example:" in text
    assert f"cp-search {' '.join(command)} " in text.split("Example:")[1]
    assert "search.cli.app" in modules
    assert not HEAVY & modules


def test_help_without_a_command_imports_nothing_heavy(tmp_path: Path) -> None:
    text, modules = help_of([], tmp_path)
    assert "Usage: cp-search" in text
    assert "search.cli.app" in modules
    assert not HEAVY & modules


def test_the_version_is_the_package_s(cp_search: CommandLine) -> None:
    from importlib.metadata import version

    assert cp_search("--version").stdout == f"cp-search {version('cp-search')}\n"


def test_an_unknown_flag_is_the_user_s_error(cp_search: CommandLine) -> None:
    result = cp_search("train", "--learning-rat", "3e-5")
    assert result.returncode == 2
    assert "--learning-rate" in result.stderr
    assert result.stdout == ""


def test_a_shell_is_told_how_commands_go_on(cp_search: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_CP_SEARCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "cp-search da")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert cp_search().stdout.split() == ["dashboard", "data"]
