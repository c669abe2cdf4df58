"""Many workers on one study: no error, no lost and no double trial, on SQLite, PostgreSQL and gRPC.

Every worker is a process of its own, and on a storage of the network it has a directory of its own, as on a
machine of its own. The objective takes no time, so that nothing but the storage is asked.

    python -m benchmarks.storages --workers 8 --trials 200
    python -m benchmarks.storages --workers 8 --trials 200 --only postgres
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from search.audience import Audience
from search.engine.inline import InlineEngine
from search.space import load_space
from search.storage.storage import STORAGE_VARIABLE
from search.storage.url import sqlite_url
from search.study import StudyHandle, open_study
from search.worker import Workplace, search
from tests.search.fakes import Listener
from trainer import Observer, Outcome, Report

SPACE = """
name: many
base: fast_dev
set: {{model.name: "builtin:tiny"}}
search:
  training.learning_rate: {{type: float, low: 1.0e-5, high: 1.0e-3, log: true}}
  training.weight_decay: {{type: float, low: 0.0, high: 0.1}}
  training.warmup_ratio: {{type: float, low: 0.0, high: 0.3}}
sampler: RandomSampler
pruner: NopPruner
budget: {{trials: {trials}}}
"""
NETWORKED = ("postgres", "grpc")


@dataclass(frozen=True)
class Instant:
    """A run that has ended before it began; leaves a line in `runs.log`."""

    directory: str

    def run(self, observer: Observer, report: Report) -> Outcome:
        """Report once."""
        with (Path(self.directory) / "runs.log").open("a") as log:
            log.write(f"{os.getpid()}\n")
        report(1, {"eval_f1_macro": 0.5})
        return Outcome("completed", self.directory, best_metrics={"eval_f1_macro": 0.5}, best_step=1)


def opened(home: Path, url: str) -> StudyHandle:
    """The study, as one worker has it."""
    return open_study(load_space(str(home / "many.yaml")), storage_url=url)


def work(home: Path, name: str, url: str) -> None:
    """One worker, until the budget is used up."""
    audience: Audience = Listener()
    place = Workplace(
        home / name, InlineEngine(), audience, make_job=lambda _config, directory, _seat: Instant(directory)
    )
    search(opened(home, url), workplace=place)


def measure(kind: str, url: str, home: Path, *, workers: int, trials: int) -> None:
    """Let the workers run, then count."""
    total = workers * trials
    (home / "many.yaml").write_text(SPACE.format(trials=total))
    handle = opened(home, url)
    started = time.perf_counter()
    names = [f"machine-{n}" if kind in NETWORKED else "many" for n in range(workers)]
    command = [sys.executable, "-m", "benchmarks.storages", "--worker"]
    # By the environment: a password in the arguments could be read by everybody on the machine.
    environment = {**os.environ, STORAGE_VARIABLE: url}
    processes = [subprocess.Popen([*command, str(home), name], env=environment) for name in names]
    codes = [process.wait() for process in processes]
    seconds = time.perf_counter() - started
    found = handle.trials()
    complete = [trial for trial in found if trial.state == TrialState.COMPLETE]
    runs = [len(log.read_text().split()) for log in home.glob("*/trial-*/runs.log")]
    waiting = sum(trial.state == TrialState.WAITING for trial in found)
    print(
        f"{kind:<9} {workers} workers x {trials}: {len(complete)} complete of {total}, {sum(runs)} runs, "
        f"{sum(count > 1 for count in runs)} run twice, {len(found) - len(complete) - waiting} left over, "
        f"{waiting} put back, exit codes {sorted(set(codes))}; {seconds:.1f} s, "
        f"{1000 * seconds / total:.1f} ms a trial"
    )
    if len(complete) != total or sum(runs) != total or max(runs) != 1 or any(codes):
        raise SystemExit(f"{kind}: trials were lost or done twice")


@contextmanager
def storage(kind: str, home: Path) -> Iterator[str]:
    """The URL of an empty storage of that kind."""
    if kind == "sqlite":
        yield sqlite_url(home / "many.db")
    elif kind == "grpc":
        from tests.search.storage.storages import grpc_server

        with grpc_server(sqlite_url(home / "served.db")) as url:
            yield url
    else:
        from tests.search.storage.postgres import Postgres

        with tempfile.TemporaryDirectory(prefix="cp-search-postgres-") as directory:
            server = Postgres(Path(directory) / "data")
            try:
                yield server.new_database()
            finally:
                server.stop()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--trials", type=int, default=200, help="of each worker")
    parser.add_argument("--only", choices=["sqlite", *NETWORKED])
    parser.add_argument("--worker", nargs=2, metavar=("HOME", "NAME"), help="one worker; for itself")
    arguments: Mapping[str, Any] = vars(parser.parse_args())
    if arguments["worker"]:
        home, name = arguments["worker"]
        work(Path(home), name, os.environ[STORAGE_VARIABLE])
        return
    for kind in [arguments["only"]] if arguments["only"] else ["sqlite", *NETWORKED]:
        with tempfile.TemporaryDirectory() as directory, storage(kind, Path(directory)) as url:
            measure(kind, url, Path(directory), workers=arguments["workers"], trials=arguments["trials"])


if __name__ == "__main__":
    main()
