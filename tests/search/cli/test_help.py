"""`--help` of every command, and what starting the command line costs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

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

#: one process shows all helps: what one of them imports stays for the next, and nothing heavy may be there
SHOW_HELPS = """
import io, json, sys
from contextlib import redirect_stdout
from search.cli.app import build_app

shown = []
for command in json.loads(sys.argv[1]):
    with redirect_stdout(io.StringIO()) as text:
        build_app()(args=[*command, "--help"], prog_name="cp-search", standalone_mode=False)
    shown.append((text.getvalue(), sorted(sys.modules)))
print(json.dumps(shown))
"""
Help = tuple[str, set[str]]


@pytest.fixture(scope="module")
def helps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Help]:
    """Command -> what its `--help` prints, and the modules that were imported by then."""
    commands = [[], *COMMANDS]
    result = subprocess.run(
        [sys.executable, "-c", SHOW_HELPS, json.dumps(commands)],
        cwd=tmp_path_factory.mktemp("helps"),
        env=environment(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    shown = json.loads(result.stdout)
    return {
        " ".join(words): (text, set(modules)) for words, (text, modules) in zip(commands, shown, strict=True)
    }


@pytest.mark.parametrize("command", [" ".join(words) for words in COMMANDS])
def test_help_explains_the_command_with_an_example_and_imports_nothing_heavy(
    command: str, helps: dict[str, Help]
) -> None:
    text, modules = helps[command]
    assert text.startswith(f"Usage: cp-search {command}")
    assert "Example:" in text
    assert f"cp-search {command} " in text.split("Example:")[1]
    assert "search.cli.app" in modules
    assert not HEAVY & modules


def test_help_without_a_command_imports_nothing_heavy(helps: dict[str, Help]) -> None:
    text, modules = helps[""]
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


@pytest.mark.parametrize("command", [*COMMANDS, [], ["study"], ["study", "lst"], ["statsu"]], ids=" ".join)
def test_a_command_that_is_built_alone_says_what_it_says_among_all(command: list[str]) -> None:
    alone, among_all = (
        CliRunner().invoke(app, [*command, "--help"]) for app in (build_app(command), build_app())
    )
    assert (alone.output, alone.exit_code) == (among_all.output, among_all.exit_code)
