"""What starting a command costs, beside importing the libraries it cannot do without.

    python -m benchmarks.start [--repeats 10]

Processor seconds (user and system) of whole processes, which other work on the machine stretches less than
the clock; the processes take turns. Looked at is a study of 20 trials; the finished one has 12 trials and a
model.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import optuna

CP_SEARCH = ["-m", "search.cli"]
FINISHED = ["--studies-dir", "finished"]
#: name -> arguments of Python
PROCESSES = {
    "python alone": ["-c", "pass"],
    "import optuna": ["-c", "import optuna; optuna.study"],
    "import the command line's own": ["-c", "import typer, typer._adapters"],
    "import Optuna's way": [
        "-c",
        "import typer, pydantic, typer._adapters, optuna, sqlalchemy.orm, rich.console",
    ],
    "--help": [*CP_SEARCH, "--help"],
    "--lang zh-TW --help": [*CP_SEARCH, "--lang", "zh-TW", "--help"],
    "train --help": [*CP_SEARCH, "train", "--help"],
    "study list": [*CP_SEARCH, "study", "list"],
    "study list, finished": [*CP_SEARCH, "study", "list", *FINISHED],
    "status": [*CP_SEARCH, "status", "one"],
    "status, finished": [*CP_SEARCH, "status", "whole", *FINISHED],
    "--lang zh-TW status, finished": [*CP_SEARCH, "--lang", "zh-TW", "status", "whole", *FINISHED],
    "study show": [*CP_SEARCH, "study", "show", "one"],
}


def main() -> None:
    """Start each process in turn, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        make(home)
        turns = [
            {name: seconds(home, arguments) for name, arguments in PROCESSES.items()}
            for _ in range(options.repeats)
        ]
    for name in PROCESSES:
        cpu, wall = ([turn[name][kind] for turn in turns] for kind in (0, 1))
        print(
            f"{name:<31} {median(cpu):.2f} s CPU ({min(cpu):.2f} to {max(cpu):.2f}), "
            f"{median(wall):.2f} s by the clock"
        )


def make(home: Path) -> None:
    """The studies `one`, and `whole`, which is finished."""
    from tests.search.report.studies import whole_study

    whole_study(home / "finished")
    (home / "studies").mkdir()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = f"sqlite:///{home}/studies/one.db"
    study = optuna.create_study(storage=url, study_name="one", direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("training.learning_rate", 1e-5, 1e-3), n_trials=20)


def seconds(home: Path, arguments: list[str]) -> tuple[float, float]:
    """Processor time and time by the clock of one process."""
    before, start = os.times(), time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    command = [sys.executable, *arguments]
    subprocess.run(command, cwd=home, env=environment, stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - start, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu, wall


if __name__ == "__main__":
    main()
