"""TensorBoard on a study's trials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest

from search.tensorboard import command, find_runs, serve
from trainer import UserError


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    optuna.create_study(storage=f"sqlite:///{tmp_path}/one.db", study_name="one")
    for number in (0, 3):
        home = tmp_path / "one" / f"trial-{number:04d}" / "tensorboard"
        home.mkdir(parents=True)
        (home / "events.out.tfevents.1.host").write_bytes(b"")
    return tmp_path


def test_all_runs_of_a_study_are_shown_or_those_of_one_trial(studies: Path) -> None:
    every = find_runs("one", studies_dir=studies)
    assert list(every.named) == ["trial-0000/tensorboard", "trial-0003/tensorboard"]
    assert list(find_runs("one", studies_dir=studies, trial=3).named) == ["trial-0003/tensorboard"]


def test_it_listens_on_this_machine_only(studies: Path) -> None:
    started: list[list[str]] = []

    def start(words: Sequence[str]) -> int:
        started.append(list(words))
        return 0

    runs = find_runs("one", studies_dir=studies)
    assert serve(runs, port=0, say=print, start=start) == 0
    words = started[0]
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[words.index("--port") + 1] == "0"
    assert words == command(runs, port=0)


@pytest.mark.parametrize(("study", "trial"), [("two", None), ("one", 7)])
def test_nothing_to_show_is_one_line(studies: Path, study: str, trial: int | None) -> None:
    with pytest.raises(UserError, match=r"no study two|trial 7 of study one has written nothing"):
        find_runs(study, studies_dir=studies, trial=trial)
