"""What the documents name must exist: files, commands, flags, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from search.cli.app import build_app
from tests.conftest import ROOT

DOCUMENTS = [
    *("README.md", "README.zh-TW.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/decisions/README.md"),
    *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
    *sorted(f"docs/decisions/{page.name}" for page in (ROOT / "docs/decisions").glob("0*.md")),
]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")
PATH = re.compile(r"(?<![\w/.-])(?:configs|spaces|docs|tests|trainer|search|benchmarks)/[\w./-]*\w")
COMMAND = re.compile(r"cp-search (?=[a-z])[^`\n\\]*(?:\\\n[^`\n\\]*)*")
MAKE = re.compile(r"^[\s`]*make (?:\w+=\S+ )?(\w+)", re.MULTILINE)


#: a command of another program, shortened at its front: what it names is not ours
FOREIGN = re.compile(r"`… [^`]*`")
#: a fenced block, an indented line, a span: elsewhere cp-search is the subject of a sentence
CODE = re.compile(r"(?s:^```.*?^```$)|^ {4}.*$|`[^`]+`", re.MULTILINE)


def text_of(document: str) -> str:
    return FOREIGN.sub("", (ROOT / document).read_text(encoding="utf-8"))


def code_of(document: str) -> str:
    return "\n".join(CODE.findall(text_of(document)))


def commands(document: str) -> Iterator[list[str]]:
    for match in COMMAND.finditer(code_of(document)):
        words = shlex.split(match[0].replace("\\\n", " "), comments=True)
        if re.fullmatch(r"[a-z]+", words[1]):
            yield words[1:]


@cache
def command_line() -> Any:
    """All commands: built once, hundreds are looked up."""
    return get_command(build_app())


def known_flags(words: list[str]) -> set[str]:
    """Flags of the command that `words` begin with; fails if there is no such command."""
    command = command_line()
    rest = list(words)
    while isinstance(command, typer.core.TyperGroup):
        assert rest, f"{words}: names a group and no command"
        name = rest.pop(0)
        assert name in command.commands, f"no command {' '.join(words)}"
        command = command.commands[name]
    return {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    here = (ROOT / document).parent
    assert [link for link in LINK.findall(text_of(document)) if not (here / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_named_exists(document: str) -> None:
    assert [path for path in PATH.findall(text_of(document)) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_and_flag_named_exists(document: str) -> None:
    for words in commands(document):
        flags = known_flags(words)
        used = {word.split("=")[0] for word in words if word.startswith("--")}
        assert used <= flags | {"--help", "--lang"}, f"{document}: cp-search {' '.join(words)}"


def test_the_readme_names_every_command() -> None:
    named = {words[0] for words in commands("README.md")}
    command = command_line()
    assert isinstance(command, typer.core.TyperGroup)
    assert set(command.commands) <= named


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_named_exists(document: str) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(MAKE.findall(code_of(document))) <= targets


def test_both_readmes_open_with_the_two_commands() -> None:
    for document in ("README.md", "README.zh-TW.md"):
        opening = text_of(document)[:300]
        assert "make quickstart" in opening
        assert "make test" in opening


@pytest.mark.parametrize(
    ("document", "suffix", "word"), [("README.md", "", "Trial 0"), ("README.zh-TW.md", ".zh-TW", "試驗")]
)
def test_each_readme_shows_pictures_in_its_language(document: str, suffix: str, word: str) -> None:
    shown = [link for link in LINK.findall(text_of(document)) if link.startswith("docs/pictures/")]
    assert shown == [f"docs/pictures/terminal{suffix}.svg", f"docs/pictures/report{suffix}.png"]
    picture = (ROOT / shown[0]).read_text(encoding="utf-8").replace("&#160;", " ")
    assert word in picture


def test_every_decision_record_is_in_the_index() -> None:
    index = text_of("docs/decisions/README.md")
    records: list[Path] = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert records
    assert [
        record.name for record in records if record.name not in index and record.name != "README.md"
    ] == []


@pytest.mark.parametrize(
    "document", ["README.md", "README.zh-TW.md", "docs/tutorial.md", "docs/tutorial.zh-TW.md"]
)
def test_the_python_named_is_the_one_the_project_asks_for(document: str) -> None:
    asked = re.search(
        r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    )
    assert asked is not None
    assert set(re.findall(r"Python (3\.\d+)", text_of(document))) == {asked[1]}
