"""How long the report of a large study takes, and how big the page is.

    python -m benchmarks.report [--trials 1000]

The study is made up, on a virtual machine's disk, through Optuna's own storage. Ten hyperparameters, eight
evaluations a trial, half of the trials pruned, each with its files.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import event

from trainer import Outcome, write_json

GIB = 2**30
AXES: dict[str, BaseDistribution] = {
    **{f"training.number_{index}": FloatDistribution(1e-5, 1e-3, log=True) for index in range(6)},
    **{f"model.choice_{index}": CategoricalDistribution(["a", "b", "c"]) for index in range(4)},
}


def main() -> None:
    """Make the study, write its report in a process of its own, say how long and how big."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        make(home, options.trials)
        seconds = [timed(home) for _ in range(options.repeats)]
        size = (home / "large" / "report.html").stat().st_size
    shown = ", ".join(f"{wall:.2f} s ({cpu:.2f} s CPU)" for wall, cpu in seconds)
    print(f"report of {options.trials} trials: {shown}; {size / 1e6:.2f} MB")


def make(home: Path, count: int) -> None:
    """The study `large`, with a directory for every trial."""
    storage = RDBStorage(f"sqlite:///{home}/large.db")

    @event.listens_for(storage.engine, "connect")
    def hurry(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    storage.engine.dispose()
    study = optuna.create_study(storage=storage, study_name="large", direction="maximize")
    for number in range(count):
        study.add_trial(made(number))
        left(home / "large" / f"trial-{number:04d}")


def made(number: int) -> FrozenTrial:
    """A trial: an arc over the hyperparameters, and a learning curve."""
    part = (number * 0.618) % 1.0
    whole = number % 2 == 0
    value = 0.8 - 0.3 * abs(part - 0.5)
    params = {
        key: 1e-5 * 100 ** ((part * (index + 1)) % 1.0)
        if isinstance(axis, FloatDistribution)
        else "abc"[(number + index) % 3]
        for index, (key, axis) in enumerate(AXES.items())
    }
    return create_trial(
        state=TrialState.COMPLETE if whole else TrialState.PRUNED,
        value=value if whole else None,
        params=params,
        distributions=AXES,
        intermediate_values={step: value - 0.4 * math.exp(-step) for step in range(1, 9 if whole else 4)},
        user_attrs={"seconds": 60.0, **({} if whole else {"cause": "pruned"})},
    )


def left(home: Path) -> None:
    """What a trial leaves in its directory."""
    home.mkdir(parents=True)
    peaks: dict[str, Any] = {"predicted_peak_bytes": 2 * GIB, "measured_peak_bytes": 2 * GIB - 2**25}
    outcome = Outcome("completed", str(home), seconds=60.0, limit_bytes=4 * GIB, **peaks)
    write_json(home / "outcome.json", asdict(outcome))


def timed(home: Path) -> tuple[float, float]:
    """Seconds that `cp-search report` takes from its start to its end, by the clock and of CPU time.

    On a machine that does other work the second number is the steadier one.
    """
    before, started = children_cpu_s(), time.monotonic()
    command = [sys.executable, "-m", "search.cli", "report", "large", "--studies-dir", str(home)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started, children_cpu_s() - before


def children_cpu_s() -> float:
    """CPU seconds of all children that have ended."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    main()
