"""Several workers, each a process of its own, on one study: nothing is lost and nothing is done twice."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.storages import measure, storage
from search.study import open_study
from tests.search.fakes import SPACE, Bench

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

WORKERS = 4
#: points that a new study tries first
POINTS = "enqueue: [{training.learning_rate: 1e-4}, {training.learning_rate: 2e-4}]\n"


def begin(home: Path, url: str, together: Barrier) -> None:
    """A worker that begins at the same moment as the others. In a process of its own."""
    space = Bench(home).space(SPACE + POINTS)
    together.wait()
    open_study(space, storage_url=url)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres", "grpc"])
def test_no_trial_is_lost_or_done_twice(kind: str, tmp_path: Path) -> None:
    with storage(kind, tmp_path) as url:
        measure(kind, url, tmp_path, workers=3, trials=4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres", "grpc"])
def test_workers_that_begin_at_once_make_one_study(kind: str, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with storage(kind, tmp_path) as url:
        together = spawn.Barrier(WORKERS)
        homes = [tmp_path / f"machine-{number}" for number in range(WORKERS)]
        for home in homes:
            home.mkdir()
        workers = [spawn.Process(target=begin, args=(home, url, together)) for home in homes]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0] * WORKERS
        space = Bench(homes[0]).space(SPACE + POINTS)
        waiting = open_study(space, storage_url=url).trials()
        assert len(waiting) == 2
