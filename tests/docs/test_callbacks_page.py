"""The example of docs/callbacks.md runs as it is printed, and its table has every hook."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT, CommandLine
from tests.trainer.runs import write_rows
from trainer.callbacks import hook_names

PAGE = (ROOT / "docs" / "callbacks.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_table_has_every_hook_in_the_order_of_a_run() -> None:
    assert re.findall(r"^\| `(on_\w+)` ", PAGE, re.MULTILINE) == hook_names()


@pytest.fixture
def with_the_example(tmp_path: Path) -> list[str]:
    write_rows(tmp_path / "train.jsonl", 40)
    write_rows(tmp_path / "val.jsonl", 12, shift=1000)
    (tmp_path / "watch.py").write_text(block("python"), encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(block("yaml"), encoding="utf-8")
    files = ["--set", "data.train_path=train.jsonl", "--set", "data.val_path=val.jsonl"]
    model = ["--model-name", "builtin:tiny", "--set", "data.cache_dir=cache", "--num-epochs", "3"]
    return ["train", "--config", "mine.yaml", *files, *model]


@pytest.mark.slow
def test_the_example_watches_a_run(
    with_the_example: list[str], cp_search: CommandLine, tmp_path: Path
) -> None:
    result = cp_search(*with_the_example)
    assert result.returncode == 0, result.stderr
    assert "callbacks.custom: watch:Overfitting is imported and run" in result.stderr
    (written,) = tmp_path.glob("experiments/*/gaps.json")
    kept = json.loads(written.read_text(encoding="utf-8"))
    assert kept["status"] == "completed"
    assert len(kept["gaps"]) == 3


@pytest.mark.slow
def test_a_dry_run_imports_nothing(
    with_the_example: list[str], cp_search: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "watch.py").write_text("raise SystemExit(77)\n", encoding="utf-8")
    result = cp_search(*with_the_example, "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "watch:Overfitting" in result.stdout
