"""The configurations of docs/strategies.md load, and its commands run, as they are printed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import ROOT, CommandLine
from tests.trainer.model.families import save_encoder
from tests.trainer.runs import write_rows
from trainer.config.loader import load_config
from trainer.strategy.stages import earlier_stages

PAGE = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")

MINE = """\
model: {name: ./model, max_sequence_length: 32}
data: {train_path: train.jsonl, val_path: val.jsonl, cache_dir: cache}
training: {num_epochs: 1, batch_size: 8}
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines()]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with what the commands name."""
    for name, rows, shift in (
        ("train", 40, 0),
        ("val", 12, 1000),
        ("forum", 40, 500),
        ("forum-val", 12, 700),
    ):
        write_rows(tmp_path / f"{name}.jsonl", rows, shift=shift)
    texts = [json.loads(line)["text"] for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    save_encoder("bert", tmp_path / "model", texts=texts)
    (tmp_path / "mine.yaml").write_text(MINE, encoding="utf-8")
    return tmp_path


def test_every_printed_configuration_loads(tmp_path: Path) -> None:
    assert len(blocks("yaml")) == 3
    for number, block in enumerate(blocks("yaml")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block, encoding="utf-8")
        earlier_stages(load_config(file=path).config)


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_a_printed_command_does_what_the_page_says(command: str, place: Path, cp_search: CommandLine) -> None:
    if "mlflow" in command:
        pytest.importorskip("mlflow")
    _, *words = shlex.split(command)
    result = cp_search(*words, cwd=place)
    assert result.returncode == 0, result.stderr
    (run,) = (path for path in (place / "experiments").iterdir() if path.is_dir())
    if "strategy" in command:
        summary = json.loads((run / "training_summary.json").read_text(encoding="utf-8"))
        assert [stage["stage"] for stage in summary["stages"]] == [1]
    else:
        assert (run.parent / "mlflow.db").is_file()
