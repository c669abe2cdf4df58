"""What an earlier study, or another trial's finish, left is moved aside, never taken for one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.aside import holds_work, move_aside
from search.finish.place import FinishPlace
from search.finish.retrain import Recipe, begin
from search.objective import suggest
from search.worker import TRIAL_LOCK
from tests.search.fakes import SPACE, Bench, Scripted
from trainer import Silent

TWO = SPACE.replace("trials: 4", "trials: 2")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_results_of_a_deleted_study_are_not_taken_for_those_of_the_new_one(bench: Bench) -> None:
    bench.search(lambda directory: Scripted(directory, values=(0.9,)), text=TWO)
    (bench.home / "fake.db").unlink()
    bench.search(lambda directory: Scripted(directory, values=(0.4,)), text=TWO)
    assert [trial.value for trial in bench.trials()] == [0.4, 0.4]
    kept = bench.directory / "trial-0000-of-an-earlier-study"
    assert (kept / "outcome.json").is_file()
    assert f"Moved aside what an earlier study left: {kept}" in bench.listener.lines


def test_nor_where_the_worker_died_between_asking_for_a_trial_and_looking_into_its_directory(
    bench: Bench,
) -> None:
    bench.search(lambda directory: Scripted(directory, values=(0.9,)), text=TWO)
    (bench.home / "fake.db").unlink()
    suggest(bench.open(TWO).study.ask(), bench.space(TWO))  # and no more
    bench.search(lambda directory: Scripted(directory, values=(0.4,)), text=TWO)
    assert [trial.value for trial in bench.trials()] == [0.4, 0.4]
    assert (bench.directory / "trial-0000-of-an-earlier-study" / "outcome.json").is_file()


def test_a_finish_begun_for_another_trial_is_moved_aside_and_not_gone_on_with(bench: Bench) -> None:
    space = bench.space()
    place = FinishPlace(bench.directory, bench.engine, Silent())
    found = []
    for trial, rate in ((1, 1e-4), (1, 1e-4), (5, 2e-4)):
        config = space.final_config({"training.learning_rate": rate})
        home = begin(Recipe(trial, config, "production"), place)
        found.append((home / "experiment").is_dir())
        (home / "experiment").mkdir(exist_ok=True)
    assert found == [False, True, False]
    assert (bench.directory / "final-of-trial-0001" / "experiment").is_dir()


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
