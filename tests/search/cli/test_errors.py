"""The one place where an error becomes a message and an exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from search.cli.errors import exit_codes
from search.interruption import Interrupted
from tests.conftest import environment
from trainer import ConfigError, Problem, StorageFault, UserError

PROGRAM = """
import sys
import typer
from search.interruption import Interrupted
from search.cli.flags import Command, add_command
from dataclasses import dataclass
from trainer import StorageFault, UserError

@dataclass(frozen=True)
class Flags: pass

def body(flags):
    "Raise."
    raise {raised}

app = typer.Typer(pretty_exceptions_enable=False)
add_command(app, Command("it", Flags, body, ("it",)))
app()
"""


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("a.yaml:1:2: no; write yes"), 2, "a.yaml:1:2: no; write yes\n"),
        (ConfigError([Problem(None, "one"), Problem(None, "two")]), 2, "one\ntwo\n"),
        (StorageFault("the storage is gone"), 3, "the storage is gone\n"),
        (Interrupted("The same command goes on."), 130, "The same command goes on.\n"),
        (Interrupted(), 130, ""),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
)
def test_an_error_has_its_words_and_its_code(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as caught, exit_codes():
        raise error
    assert caught.value.exit_code == code
    assert capsys.readouterr() == ("", message)


def test_a_fault_of_ours_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), exit_codes():
        _ = 1 / 0


@pytest.mark.parametrize(
    ("raised", "code", "ending"),
    [
        ("UserError('bad')", 2, "bad\n"),
        ("StorageFault('gone')", 3, "gone\n"),
        ("KeyboardInterrupt", 130, "Interrupted.\n"),
        ("ZeroDivisionError('ours')", 1, "ZeroDivisionError: ours\n"),
    ],
)
def test_the_process_exits_with_the_code(raised: str, code: int, ending: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(raised=raised)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == code
    assert result.stderr.endswith(ending)
    assert ("Traceback" in result.stderr) == (code == 1)
    assert result.stdout == ""
