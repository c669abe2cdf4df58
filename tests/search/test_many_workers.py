"""Several workers, each a process of its own, on one study: nothing is lost and nothing is done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.storages import measure, storage


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres", "grpc"])
def test_no_trial_is_lost_or_done_twice(kind: str, tmp_path: Path) -> None:
    with storage(kind, tmp_path) as url:
        measure(kind, url, tmp_path, workers=3, trials=4)
