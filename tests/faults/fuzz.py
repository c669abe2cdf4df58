"""Kills at random moments: trials, workers, everything; and what a study must look like afterwards.

Used by a test with a few kills and by `benchmarks/search.py fuzz` with many. As a script it is the worker:
`python -m tests.faults.fuzz HOME SEED JOBS`.
"""

from __future__ import annotations

import json
import math
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
from optuna.trial import FrozenTrial, TrialState

from search.engine.inline import InlineEngine
from search.engine.local import LocalEngine
from search.seats import Seat, Seats
from search.study import open_study
from search.worker import Workplace, search
from tests.faults.moments import family
from tests.search.fakes import Bench, Listener
from trainer import Config, Observer, Outcome, Report
from trainer.files import write_text

ROOT = Path(__file__).resolve().parents[2]
TRIALS = 8
SPACE = """
name: fake
base: fast_dev
set:
  model.name: builtin:tiny
search:
  training.learning_rate: {type: float, low: 1.0e-5, high: 1.0e-3, log: true}
  model.dropout_rate: {type: float, low: 0.0, high: 0.5}
sampler: {name: TPESampler, args: {n_startup_trials: 3}}
pruner: {name: MedianPruner, args: {n_startup_trials: 2}}
budget: {trials: TRIALS}
limits: {retries: 20}
seed: SEED
"""


@dataclass(frozen=True)
class Learner:
    """A run whose evaluations follow from its values alone; a checkpoint after each but every third."""

    directory: str
    rate: float
    dropout: float
    pause_s: float = 0.0
    steps: int = 5

    def value(self, step: int) -> float:
        """The metric at evaluation `step`."""
        distance = abs(math.log10(self.rate) + 4) + abs(self.dropout - 0.2)
        return 1 / (1 + distance) * (1 - math.exp(-step * (0.3 + self.dropout)))

    def run(self, observer: Observer, report: Report) -> Outcome:
        """Go on from the checkpoint, if there is one."""
        checkpoint = Path(self.directory) / "checkpoints" / "last"
        done = int(checkpoint.read_text()) if checkpoint.exists() else 0
        for step in range(done + 1, self.steps + 1):
            time.sleep(self.pause_s)
            if observer.interrupted():
                return self._end("interrupted", done=step - 1)
            observer.progress(step, self.steps, "")
            if report(step, {"eval_f1_macro": self.value(step)}):
                return self._end("stopped", done=step)
            if step % 3:
                checkpoint.parent.mkdir(exist_ok=True)
                write_text(checkpoint, str(step))
        return self._end("completed", done=self.steps)

    def _end(self, status: Any, *, done: int) -> Outcome:
        best = {"eval_f1_macro": self.value(done)} if done else {}
        return Outcome(status, self.directory, best_metrics=best, best_step=done or None)


def make(config: Config, directory: str, seat: Seat) -> Learner:
    """The job of a trial."""
    return Learner(directory, config.training.learning_rate, config.model.dropout_rate, pause_s=0.03)


def without_pauses(config: Config, directory: str, seat: Seat) -> Learner:
    """The job of a trial of the study that nobody kills."""
    return replace(make(config, directory, seat), pause_s=0.0)


def space_text(seed: int) -> str:
    """The space of the study with that seed."""
    return SPACE.replace("TRIALS", str(TRIALS)).replace("SEED", str(seed))


@dataclass(frozen=True)
class Case:
    """A study to be killed: its directory, its seed (of the sampler and of the kills), trials at a time."""

    home: Path
    seed: int
    jobs: int
    kills: int


@dataclass(frozen=True)
class Survived:
    """kills: how often what was killed (trial, worker, everything). faults: what is wrong afterwards."""

    kills: dict[str, int]
    faults: list[str]


def survive(case: Case) -> Survived:
    """Run the study of `case` under kills, then to its end, and look it over."""
    case.home.mkdir(parents=True)
    dice = random.Random(case.seed)
    kills = {"trial": 0, "worker": 0, "everything": 0}
    worker = _worker(case)
    sessions = [worker.pid]
    for _ in range(case.kills):
        kind = dice.choice(["trial", "trial", "worker", "everything"])
        if kind == "trial":
            _await_trial(worker)
        time.sleep(dice.uniform(0.0, 0.15 if kind == "trial" else 2.0))
        if worker.poll() is not None:
            break  # it was through before the next kill
        if _kill(kind, worker):
            kills[kind] += 1
        if worker.poll() is not None:
            worker = _worker(case)
            sessions.append(worker.pid)
    code = worker.wait(timeout=300)
    faults = [f"the last worker ended with code {code}"] if code else []
    return Survived(kills, faults + list(orphans(sessions)) + list(faults_of(case)))


def _worker(case: Case) -> subprocess.Popen[bytes]:
    """A worker, when it begins to search."""
    command = [sys.executable, "-m", __name__, str(case.home), str(case.seed), str(case.jobs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        raise RuntimeError(f"the worker did not start: {process.stdout.read().decode()}")
    return process


def _family(worker: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return psutil.Process(worker.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _trials(worker: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Children of the forkserver, which is the worker's own child."""
    return [process for process in _family(worker) if _parent(process) not in (None, worker.pid)]


def _parent(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return None


def _await_trial(worker: subprocess.Popen[bytes]) -> None:
    while worker.poll() is None and not _trials(worker):
        time.sleep(0.01)


def _kill(kind: str, worker: subprocess.Popen[bytes]) -> bool:
    """Kill a trial, the worker, or all processes at once; False if there was none."""
    family = _family(worker)
    trials = _trials(worker)
    if kind == "trial":
        return _sigkill(random.Random(len(family)).choice(trials)) if trials else False
    worker.kill()
    if kind == "everything":
        for process in family:
            _sigkill(process)
    worker.wait()
    return True


def _sigkill(process: psutil.Process) -> bool:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def faults_of(case: Case) -> Iterator[str]:
    """What is wrong with a study that has come to its end, beside processes."""
    bench = Bench(case.home)
    trials = bench.open(space_text(case.seed)).trials()
    measured = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    if len(measured) != TRIALS or len(trials) != TRIALS:
        yield f"{TRIALS} trials were asked for: {[trial.state.name for trial in trials]}"
    if case.jobs == 1:
        yield from _differences(trials, _unkilled(case))
    yield from _left_behind(bench.directory)
    with sqlite3.connect(case.home / "fake.db") as database:
        (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
        if verdict != "ok":
            yield f"SQLite: {verdict}"


def _unkilled(case: Case) -> list[FrozenTrial]:
    """The trials of the study that nobody killed."""
    home = case.home / "unkilled"
    home.mkdir()
    bench = Bench(home)
    handle = open_study(bench.space(space_text(case.seed)), storage_url=bench.url)
    place = Workplace(bench.directory, InlineEngine(), Listener(), make_job=without_pauses)
    search(handle, workplace=place)
    return handle.trials()


def _differences(killed: list[FrozenTrial], unkilled: list[FrozenTrial]) -> Iterator[str]:
    for one, other in zip(killed, unkilled, strict=False):
        for name in ("state", "params", "value", "intermediate_values"):
            found, wanted = getattr(one, name), getattr(other, name)
            if found != wanted:
                yield f"trial {one.number}: {name} is {found}, of an unkilled study {wanted}"


def _left_behind(directory: Path) -> Iterator[str]:
    """Checkpoints of trials that have ended, unfinished files, and files that are not whole."""
    for path in sorted(directory.rglob("*")):
        inside = path.relative_to(directory)
        if path.suffix == ".tmp" or (inside.parent.name == "checkpoints"):
            yield f"left behind: {inside}"
        elif path.suffix == ".json":
            yield from _unreadable(path, [path.read_text(encoding="utf-8")])
        elif path.suffix == ".jsonl":
            yield from _unreadable(path, path.read_text(encoding="utf-8").splitlines())


def _unreadable(path: Path, texts: list[str]) -> Iterator[str]:
    for text in filter(None, texts):
        try:
            json.loads(text)
        except ValueError:
            yield f"torn: {path.parent.name}/{path.name}: {text!r}"


def orphans(sessions: Sequence[int]) -> Iterator[str]:
    """Processes of these workers that should have ended; what lost its parent has a moment for it."""
    left = [process for session in sessions for process in family(session)]
    _, alive = psutil.wait_procs(left, timeout=10)
    for process in alive:
        yield f"orphan: {process}"


def main(home: str, seed: str, jobs: str) -> None:
    """The worker: searches, after a line that says it begins."""
    bench = Bench(Path(home))
    engine = LocalEngine(preload=("tests.faults.fuzz",))
    handle = open_study(bench.space(space_text(int(seed))), storage_url=bench.url)
    place = Workplace(bench.directory, engine, Listener(), make_job=make, seats=Seats(int(jobs), threads=1))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    search(handle, workplace=place)


if __name__ == "__main__":
    main(*sys.argv[1:])
