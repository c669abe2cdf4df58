"""What an earlier study, or another trial's finish, left is moved aside, never taken for one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.aside import holds_work, move_aside
from search.engine.job import Job
from search.finish.one_child import FinalJob, finish
from search.worker import TRIAL_LOCK
from tests.search.fakes import SPACE, Bench, Scripted
from trainer import Config, Observer, Outcome, Report, Silent

TWO = SPACE.replace("trials: 4", "trials: 2")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class Broken:
    """An engine whose jobs end before they leave a model; remembers what lay there when they began."""

    def __init__(self) -> None:
        self.found: list[list[str]] = []

    def run(self, job: Job, *, observer: Observer, report: Report) -> dict[str, object]:
        """Leave a checkpoint and no model."""
        home = Path(job.directory)
        self.found.append(sorted(entry.name for entry in home.iterdir() if entry.is_dir()))
        (home / "experiment").mkdir(exist_ok=True)
        return vars(Outcome("failed", job.directory, error="lost power", error_kind="lost"))


def final_job(home: Path, *, trial: int, rate: float) -> FinalJob:
    config = Config.model_validate({"training": {"learning_rate": rate}})
    return FinalJob(config=config, directory=str(home / "final"), trial=trial, facts={})


def test_the_results_of_a_deleted_study_are_not_taken_for_those_of_the_new_one(bench: Bench) -> None:
    bench.search(lambda directory: Scripted(directory, values=(0.9,)), text=TWO)
    (bench.home / "fake.db").unlink()
    bench.search(lambda directory: Scripted(directory, values=(0.4,)), text=TWO)
    assert [trial.value for trial in bench.trials()] == [0.4, 0.4]
    kept = bench.directory / "trial-0000-of-an-earlier-study"
    assert (kept / "outcome.json").is_file()
    assert f"Moved aside what an earlier study left: {kept}" in bench.listener.lines


def test_a_finish_begun_for_another_trial_is_moved_aside_and_not_gone_on_with(tmp_path: Path) -> None:
    engine = Broken()
    for trial, rate in ((1, 1e-4), (1, 1e-4), (5, 2e-4)):
        finish(final_job(tmp_path, trial=trial, rate=rate), engine=engine, observer=Silent())
    assert engine.found == [[], ["experiment"], []]
    assert (tmp_path / "final-of-trial-0001" / "experiment").is_dir()


def test_moving_aside_never_overwrites_what_was_moved_before(tmp_path: Path) -> None:
    for _ in range(2):
        (tmp_path / "a").mkdir()
        move_aside(tmp_path / "a", name="b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "b-2"]


def test_locks_alone_are_no_work(tmp_path: Path) -> None:
    (tmp_path / TRIAL_LOCK).touch()
    assert not holds_work(tmp_path)
    (tmp_path / "config.json").touch()
    assert holds_work(tmp_path)
