"""stdout belongs to the JSON document when one was asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from search.cli.output import clean_stdout, print_json
from tests.conftest import environment

NOISY = """
import os, subprocess, sys
from search.cli.output import clean_stdout, print_json
with clean_stdout(sys.argv[1] == "json"):
    print("from Python")
    os.write(1, b"from a library in C\\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
print_json({"text": "文字"})
"""


def noisy(form: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", NOISY, form]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)


def test_only_the_document_reaches_stdout() -> None:
    result = noisy("json")
    assert json.loads(result.stdout) == {"text": "文字"}
    assert set(result.stderr.splitlines()) == {"from Python", "from a library in C", "from a child"}


def test_without_a_document_stdout_is_for_everybody() -> None:
    result = noisy("lines")
    assert "from a child" in result.stdout
    assert result.stderr == ""


def test_stdout_is_left_alone_when_no_document_is_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    with clean_stdout(False):
        os.write(1, b"for a person\n")
    assert capfd.readouterr() == ("for a person\n", "")


def test_stdout_comes_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="inside"), clean_stdout(True):
        raise ValueError("inside")
    os.write(1, b"after\n")
    assert capfd.readouterr().out == "after\n"


def test_a_document_holds_no_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"value": float("nan")})
