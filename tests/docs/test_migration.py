"""Every `cp-search train` that the migration pages give for a line of the published guide is taken."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from search.cli.app import build_app
from tests.conftest import ROOT

PAGES = ["migration.md", "migration.zh-TW.md"]
TRAIN = re.compile(r"\| `cp-search (train[^`]*)`")


def commands(page: str) -> list[list[str]]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [shlex.split(found) for found in TRAIN.findall(text)]


@pytest.mark.parametrize("page", PAGES)
def test_every_train_command_resolves(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "experiments" / "my_exp").mkdir(parents=True)
    (tmp_path / "experiments" / "my_exp" / "config.yaml").write_text(
        "training: {num_epochs: 7}\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    found = commands(page)
    assert len(found) == 8
    for words in found:
        result = CliRunner().invoke(build_app(), [*words, "--dry-run"])
        assert result.exit_code == 0, (words, result.output)


def test_both_languages_give_the_same_commands() -> None:
    assert commands(PAGES[0]) == commands(PAGES[1])
