from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.trainer.runs import Watcher, make_config
from trainer.journal import Journal, tokenising
from trainer.runner import run


def speak(path: Path, level: str) -> tuple[list[str], Watcher]:
    watcher = Watcher()
    with Journal(path, level=level, observer=watcher) as journal:
        journal.progress(1, 9, "Step 1")
        journal.say("said")
        journal.warn("crowded")
        journal.fault("ended")
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split(" ", 2)[2] for line in lines], watcher


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("DEBUG", ["DEBUG Step 1", "INFO said", "WARNING crowded", "ERROR ended"]),
        ("INFO", ["INFO said", "WARNING crowded", "ERROR ended"]),
        ("WARNING", ["WARNING crowded", "ERROR ended"]),
        ("ERROR", ["ERROR ended"]),
    ],
)
def test_the_level_governs_what_is_written_but_not_what_is_seen(
    tmp_path: Path, level: str, written: list[str]
) -> None:
    found, watcher = speak(tmp_path / "run.log", level)
    assert found == written
    assert watcher.lines == ["said", "Warning: crowded"]
    assert watcher.statuses == ["Step 1"]


def test_a_percent_sign_is_no_format(tmp_path: Path) -> None:
    with Journal(tmp_path / "run.log", level="INFO", observer=Watcher()) as journal:
        journal.say("100% done %s")
    assert "100% done %s" in (tmp_path / "run.log").read_text(encoding="utf-8")


def test_a_run_that_goes_on_adds_to_its_log(tmp_path: Path) -> None:
    config = make_config(tmp_path, experiment__log_level="DEBUG", training__num_epochs=1)
    run(config, directory=tmp_path / "run", observer=Watcher(stop_at=2))
    run(config, directory=tmp_path / "run")
    log = (tmp_path / "run" / "run.log").read_text(encoding="utf-8")
    assert re.findall(r"DEBUG Step (\d)", log) == ["1", "2", "3", "4", "5"]
    assert log.count("INFO Going on from") == 1


def test_why_a_run_ended_is_in_its_log(tmp_path: Path) -> None:
    config = make_config(tmp_path, training__learning_rate=1e30, experiment__log_level="ERROR")
    outcome = run(config, directory=tmp_path / "run")
    log = (tmp_path / "run" / "run.log").read_text(encoding="utf-8")
    assert log.rstrip().endswith(f"ERROR {outcome.error}")


@pytest.mark.parametrize(("texts", "lines"), [(10_000, 0), (1_000_000, 20)])
def test_tokenising_is_told_in_twentieths_where_there_are_many_texts(
    tmp_path: Path, texts: int, lines: int
) -> None:
    watcher = Watcher()
    with Journal(tmp_path / "run.log", level="INFO", observer=watcher) as journal:
        told = tokenising(journal, "train.jsonl")
        for done in [*range(4096, texts, 4096), texts]:
            told(done, texts)
    assert len(watcher.statuses) == lines
    assert watcher.statuses[-1:] == [f"Tokenising train.jsonl: {texts} of {texts} texts"] * bool(lines)
