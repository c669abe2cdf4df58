"""The way from the best trial to an exported model, and going on with it."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from search.engine.child import OUTCOME
from search.engine.job import Job
from search.finish.final import Final
from search.finish.one_child import FinalJob, finish
from trainer import Config, Observer, Report, Silent, write_json, write_sample


class Here:
    """An engine that runs a job in this process, and counts."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self, job: Job, *, observer: Observer, report: Report) -> dict[str, Any]:
        """As the local engine does it, without the child."""
        self.runs += 1
        result = asdict(job.run(observer, report))
        write_json(Path(job.directory) / OUTCOME, result)
        return result


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sample")
    write_sample(directory, rows=120, seed=1)
    return directory


def job_in(tmp_path: Path, sample: Path, *, trial: int = 0, rate: float = 1e-3) -> FinalJob:
    config = Config.model_validate(
        {
            "model": {"name": "builtin:tiny", "max_sequence_length": 16},
            "data": {
                **{f"{name}_path": str(sample / f"{name}.jsonl") for name in ("train", "val", "test")},
                "cache_dir": str(tmp_path / "cache"),
            },
            "training": {"num_epochs": 1, "learning_rate": rate},
        }
    )
    home = tmp_path / "study" / "final"
    home.mkdir(parents=True, exist_ok=True)
    return FinalJob(config=config, directory=str(home), trial=trial, facts={"study": "s"})


def done(job: FinalJob, engine: Here) -> Final:
    return finish(job, engine=engine, observer=Silent())


def test_a_finish_leaves_a_model_its_scores_and_the_baselines(tmp_path: Path, sample: Path) -> None:
    final = done(job_in(tmp_path, sample), Here())
    assert final.status == "completed"
    assert (Path(str(final.model_dir)) / "model.safetensors").is_file()
    scores = (final.eval_f1_macro, final.test_f1_macro, final.baseline_f1_macro)
    assert all(score is not None and 0 < score < 1 for score in scores)
    assert final.test["tasks"].keys() == final.baseline["tasks"].keys()


def test_a_finish_that_is_done_is_not_done_again(tmp_path: Path, sample: Path) -> None:
    engine, job = Here(), job_in(tmp_path, sample)
    assert done(job, engine) == done(job, engine)
    assert engine.runs == 1


def test_after_a_crash_behind_the_retraining_only_the_rest_is_done(tmp_path: Path, sample: Path) -> None:
    job = job_in(tmp_path, sample)
    first = done(job, Here())
    weights = Path(job.directory) / "experiment" / "final_model.pt"
    made = weights.stat().st_mtime_ns
    (Path(job.directory) / OUTCOME).unlink()
    again = done(job, Here())
    assert weights.stat().st_mtime_ns == made
    assert replace(again, reloaded_difference=None) == replace(first, reloaded_difference=None)


def test_the_model_of_another_trial_is_moved_aside_not_lost(tmp_path: Path, sample: Path) -> None:
    first = done(job_in(tmp_path, sample), Here())
    second = done(job_in(tmp_path, sample, trial=4, rate=2e-3), Here())
    assert second.status == "completed"
    assert second.config != first.config
    assert (tmp_path / "study" / "final-of-trial-0000" / "model" / "model.safetensors").is_file()
