"""How long a fresh trial takes from the suggestion to its first optimizer step.

    python -m benchmarks.trial_start [--model DIR --cold DIR] [--trials 6]

Suggests a trial, runs it in a child process through `LocalEngine` as `cp-search run` does, and interrupts it
after its first step. Without arguments: builtin:tiny on a generated sample. The first trial also pays for
the forkserver's imports, and on new data for tokenising; those after it should start within 0.5 s.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import optuna

from benchmarks.spread import Spread
from search.engine.job import TrainJob
from search.engine.local import LocalEngine
from search.objective import suggest
from search.space import Space, load_space
from trainer import import_cold, write_sample

SPACE = Path(__file__).with_name("cold.yaml")
#: what the callback leaves in the trial's directory
STAMP = "first_step"


class Stamp:
    """A callback of the trial: notes when its first optimizer step begins."""

    def on_epoch_begin(self, trainer: Any, **_: Any) -> None:
        """Everything is loaded, and the first batch is next."""
        path = trainer.parts.experiment.directory / STAMP
        path.write_text(f"{time.time()} {time.process_time()}", encoding="utf-8")


class FirstStep:
    """Watches a trial: when its first step ended; asks it to end then."""

    def __init__(self) -> None:
        self.ended = 0.0

    def say(self, line: str) -> None:
        """Drop the line."""

    def progress(self, done: int, total: int, status: str) -> None:
        """Called for every step."""
        self.ended = self.ended or time.time()

    def interrupted(self) -> bool:
        """True after the first step."""
        return self.ended > 0


@dataclass(frozen=True)
class Start:
    """Seconds from the suggestion until the first optimizer step begins, and ends.

    cpu: CPU time that the child spent until the step began; other processes hardly change it.
    """

    begun: float
    ended: float
    cpu: float


def trial(engine: LocalEngine, space: Space, *, study: optuna.Study, home: Path) -> Start:
    """Start a new trial; ended after its first step."""
    asked = study.ask()
    values = suggest(asked, space)
    suggested = time.time()
    directory = home / f"trial-{asked.number:04d}"
    job = TrainJob(space.trial_config(values), str(directory))
    watcher = FirstStep()
    result = engine.run(job, observer=watcher, report=lambda step, metrics: False)
    if result["status"] != "interrupted":
        raise SystemExit(f"trial {asked.number} ended as {result['status']}: {result['error']}")
    begun, cpu = map(float, (directory / STAMP).read_text(encoding="utf-8").split())
    return Start(begun - suggested, watcher.ended - suggested, cpu)


def space_for(arguments: argparse.Namespace, data: Path) -> Space:
    """The space of benchmarks/cold.yaml over the chosen model and data."""
    if arguments.cold is None:
        write_sample(data, rows=arguments.rows, seed=0)
    else:
        import_cold(arguments.cold, out=data, limit_train=arguments.rows)
    settings = {
        "model.name": str(arguments.model),
        "data.train_path": str(data / "train.jsonl"),
        "data.val_path": str(data / "val.jsonl"),
        "data.test_path": str(data / "test.jsonl"),
        "data.cache_dir": str(data / "cache"),
        "callbacks.custom": ["benchmarks.trial_start:Stamp"],
    }
    return load_space(str(SPACE), settings=settings)


def main() -> None:
    """Parse the command line, start trials one after another, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="builtin:tiny", help="directory of an encoder")
    parser.add_argument("--cold", type=Path, help="directory of COLD's CSV files; else a sample is generated")
    parser.add_argument("--rows", type=int, default=4000, help="training rows (of a sample: all rows)")
    parser.add_argument("--trials", type=int, default=6)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        space = space_for(arguments, home / "data")
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        engine = LocalEngine()
        times = [trial(engine, space, study=study, home=home) for _ in range(arguments.trials)]
    report(times, model=arguments.model)


def report(times: Sequence[Start], *, model: str) -> None:
    """The first trial, and the median (least-greatest) of those after it."""
    print(f"{model}: seconds from the suggestion until the first optimizer step")
    print(f"{'':16} {'begins':18} {'has ended':18} CPU time of the child until it begins")
    first, *others = times
    print(f"{'first trial':16} {first.begun:<18.2f} {first.ended:<18.2f} {first.cpu:.2f}")
    if others:
        begun, ended, cpu = (Spread.of(column) for column in zip(*map(astuple, others), strict=True))
        print(f"{'the others':16} {f'{begun:.2f}':18} {f'{ended:.2f}':18} {cpu:.2f}")


if __name__ == "__main__":
    main()
