"""What the machinery around the trials costs, and that it loses nothing.

    python -m benchmarks.search overhead [--trials 1000]    instant trials, against bare Optuna
    python -m benchmarks.search opening [--trials 10000]    open a large study and ask for the next trial
    python -m benchmarks.search jobs [--trials 12]          trials side by side, against one after the other
    python -m benchmarks.search fuzz [--studies 22]         kill -9 at random moments

Without an argument: a short round of each.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import optuna
import psutil
from optuna.trial import TrialState, create_trial

from search.engine.inline import InlineEngine
from search.methods import build_sampler
from search.objective import distribution, suggest
from search.seats import Seat, Seats
from search.space import load_space
from search.storage.storage import quiet_optuna
from search.study import StudyHandle, open_study
from search.worker import Workplace, search
from trainer import Config, Observer, Outcome, Report
from trainer.files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping

#: of a large study, in turns with bare Optuna's
OPENINGS = 5
#: in which the studies of a round grow
STRETCHES = 10

#: makes a study grow to a number of trials
Side = Callable[..., None]

SPACE = """
name: bench
base: fast_dev
set: {model.name: "builtin:tiny"}
search:
  training.learning_rate: {type: float, low: 1.0e-5, high: 1.0e-3, log: true}
  training.weight_decay: {type: float, low: 0.0, high: 0.1}
  training.warmup_ratio: {type: float, low: 0.0, high: 0.2}
  model.dropout_rate: {type: float, low: 0.0, high: 0.5}
sampler: {name: SAMPLER}
budget: {trials: TRIALS}
"""


@dataclass(frozen=True)
class Instant:
    """A trial that takes no time."""

    directory: str
    value: float

    def run(self, observer: Observer, report: Report) -> Outcome:
        """Report once and end."""
        report(1, {"eval_f1_macro": self.value})
        return Outcome("completed", self.directory, best_metrics={"eval_f1_macro": self.value}, best_step=1)


class Nobody:
    """An audience that does not listen."""

    def say(self, line: str) -> None:
        """Nothing."""

    def trial_started(self, number: int, *, values: dict[str, Any], resumed: bool) -> None:
        """Nothing."""

    def trial_paused(self, number: int) -> None:
        """Nothing."""

    def progress(self, done: int, total: int, status: str, *, number: int | None = None) -> None:
        """Nothing."""

    def evaluated(self, number: int, *, step: int, metrics: Mapping[str, float]) -> None:
        """Nothing."""

    def trial_ended(self, number: int, *, verdict: Any, best: Any) -> None:
        """Nothing."""


def study_in(home: Path, *, trials: int, sampler: str = "TPESampler") -> StudyHandle:
    """A study in its own directory."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "bench.yaml"
    write_text(path, SPACE.replace("TRIALS", str(trials)).replace("SAMPLER", sampler))
    return open_study(load_space(str(path)), storage_url=f"sqlite:///{home / 'bench.db'}")


def make(config: Config, directory: str, seat: Seat) -> Instant:
    """An instant trial whose value follows from its values."""
    return Instant(directory, 1 - config.model.dropout_rate)


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock, which depend on the disk and on who else works, and of this process's CPU."""

    clock_s: float
    cpu_s: float

    def __str__(self) -> str:
        return f"{self.clock_s:.1f} s ({self.cpu_s:.1f} s of CPU)"


def ours(handle: StudyHandle, *, until: int) -> None:
    """Go on through the supervisor until the study has so many trials."""
    url = handle.storage_url
    home = Path(url.removeprefix("sqlite:///")).parent
    place = Workplace(home / "bench", InlineEngine(), Nobody(), make_job=make)
    search(open_study(handle.space.within(trials=until), storage_url=url), workplace=place)


def bare(handle: StudyHandle, *, until: int) -> None:
    """The same by hand: the calls of storage and sampler that the product makes.

    Trials are counted before each, as Optuna's MaxTrialsCallback does: so several workers keep one budget.
    """
    study = _loaded(handle)
    while (number := len(study.get_trials(deepcopy=False))) < until:
        study.sampler = build_sampler(handle.space, number=number)
        trial, value = _asked(study)
        trial.set_constraint("memory_gib", 0.0)
        trial.set_constraint("nonfinite", 0.0)
        trial.set_user_attr("seconds", 0.0)
        study.tell(trial, value)


def barest(handle: StudyHandle, *, until: int) -> None:
    """The same in the shortest script there is: ask, suggest, report, tell; nothing else is stored."""
    study = _loaded(handle)
    study.sampler = build_sampler(handle.space, number=0)
    for _ in range(len(study.get_trials(deepcopy=False)), until):
        trial, value = _asked(study)
        study.tell(trial, value)


def _loaded(handle: StudyHandle) -> optuna.Study:
    return optuna.load_study(study_name="bench", storage=handle.storage_url, pruner=handle.study.pruner)


def _asked(study: optuna.Study) -> tuple[optuna.Trial, float]:
    trial = study.ask()
    trial.suggest_float("training.learning_rate", 1e-5, 1e-3, log=True)
    trial.suggest_float("training.weight_decay", 0.0, 0.1)
    trial.suggest_float("training.warmup_ratio", 0.0, 0.2)
    value = 1 - trial.suggest_float("model.dropout_rate", 0.0, 0.5)
    trial.report(value, 1)
    trial.should_prune()
    return trial, value


def overhead(trials: int, sampler: str) -> None:
    """Three rounds; memory and disk of ours.

    A round's studies grow in turns, a stretch at a time, so that a machine that gets slower or faster
    meanwhile does so for all; what opens a study again at each stretch counts.
    """
    with tempfile.TemporaryDirectory() as name:
        for number in range(3):
            kinds = {
                side: study_in(Path(name) / f"{side.__name__}{number}", trials=trials, sampler=sampler)
                for side in (bare, barest, ours)
            }
            stretches: dict[Side, list[Spent]] = {side: [] for side in kinds}
            grown = 0
            for stretch in range(1, STRETCHES + 1):
                for side, handle in kinds.items():
                    before = psutil.Process().memory_info().rss
                    until = trials * stretch // STRETCHES
                    stretches[side].append(_spent(partial(side, handle, until=until)))
                    grown += psutil.Process().memory_info().rss - before if side is ours else 0
            _say(
                f"{trials} instant trials, {sampler}: the same calls {_sum(stretches[bare])}, the barest "
                f"script {_sum(stretches[barest])}, ours {_sum(stretches[ours])}; memory grew by "
                f"{grown / 2**20:.0f} MiB, disk {_disk(Path(name) / f'ours{number}') / 2**20:.1f} MiB"
            )
            for against in (bare, barest):
                pairs = list(zip(stretches[ours], stretches[against], strict=True))
                _say(
                    f"  ours against {against.__name__}, median of the stretches: "
                    f"clock {median(one.clock_s / other.clock_s for one, other in pairs):.2f}x, "
                    f"CPU {median(one.cpu_s / other.cpu_s for one, other in pairs):.2f}x"
                )


def _sum(spent: list[Spent]) -> Spent:
    return Spent(sum(one.clock_s for one in spent), sum(one.cpu_s for one in spent))


def opening(trials: int) -> None:
    """Open a study that has `trials` and ask for the next, against Optuna's load_study, ask and suggest."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        handle = study_in(home, trials=trials + 1)
        _fill(handle, trials)
        url = handle.storage_url

        def plain() -> None:
            sampler = build_sampler(handle.space, number=0)
            study = optuna.load_study(study_name="bench", storage=url, sampler=sampler)
            suggest(study.ask(), handle.space)

        def through(wanted: int) -> None:
            place = Workplace(home / "bench", InlineEngine(), Nobody(), make_job=make)
            search(open_study(handle.space.within(trials=wanted), storage_url=url), workplace=place)

        bare, ours = [], []
        for turn in range(1, OPENINGS + 1):
            bare.append(_timed(plain))
            _forget_last(handle)
            ours.append(_timed(partial(through, trials + turn)))
    ratios = [one / other for one, other in zip(ours, bare, strict=True)]
    _say(
        f"opening {trials} trials and the next: bare {median(bare):.2f} s, ours {median(ours):.2f} s, "
        f"run included; {median(ratios):.2f} times ({min(ratios):.2f}-{max(ratios):.2f})"
    )


def _fill(handle: StudyHandle, trials: int) -> None:
    import random

    dice = random.Random(1)
    ranges = {key: distribution(dimension) for key, dimension in handle.space.search.items()}
    made = []
    for _ in range(trials):
        values = {key: dice.uniform(one.low, one.high) for key, one in ranges.items()}  # type: ignore[attr-defined]  # all are floats
        made.append(create_trial(params=values, distributions=ranges, value=1 - values["model.dropout_rate"]))
    handle.study.add_trials(made)


def _forget_last(handle: StudyHandle) -> None:
    """The trial that `plain` asked for is of no further use."""
    for trial in handle.trials(TrialState.RUNNING):
        handle.study.tell(trial.number, state=TrialState.FAIL)


def jobs(trials: int) -> None:
    """A study of real trials (builtin:tiny on a made-up sample): one at a time with all threads, then two."""
    from search.engine.local import LocalEngine
    from trainer import write_sample

    with tempfile.TemporaryDirectory() as name:
        home, seconds = Path(name), {}
        write_sample(home / "data", rows=1200, seed=1)
        for count in (1, 2):
            handle = _real_study(home / str(count), home / "data", trials)
            place = Workplace(
                home / str(count) / "bench",
                LocalEngine(),
                Nobody(),
                seats=Seats(count, threads=None if count == 1 else max(1, (os.cpu_count() or 1) // count)),
            )
            seconds[count] = _timed(partial(search, handle, workplace=place))
            _say(f"{trials} trials, {place.seats.line()}: {seconds[count]:.1f} s")
        _say(f"--jobs 2 against 1: {seconds[1] / seconds[2]:.2f}x as fast")


def _real_study(home: Path, data: Path, trials: int) -> StudyHandle:
    home.mkdir(parents=True)
    settings = (
        f'set:\n  model.name: "builtin:tiny"\n  model.max_sequence_length: 64\n  training.num_epochs: 1\n'
        f"  data.train_path: {data}/train.jsonl\n  data.val_path: {data}/val.jsonl\n"
        f"  data.cache_dir: {data}/cache\n"
    )
    text = SPACE.replace('set: {model.name: "builtin:tiny"}\n', settings).replace("SAMPLER", "RandomSampler")
    path = home / "bench.yaml"
    # Neither is to be quicker for having pruned more.
    write_text(path, text.replace("TRIALS", str(trials)) + "pruner: NopPruner\n")
    return open_study(load_space(str(path)), storage_url=f"sqlite:///{home / 'bench.db'}")


def fuzz(studies: int, kills: int) -> int:
    """Studies under kills; the number of faults found."""
    from tests.faults.fuzz import Case, survive

    total: dict[str, int] = {}
    faults = 0
    with tempfile.TemporaryDirectory() as name:
        for seed in range(studies):
            # Two of three with one trial at a time, which must end exactly as an unkilled study.
            case = Case(Path(name) / str(seed), seed=seed, jobs=1 + seed % 3 // 2, kills=kills)
            survived = survive(case)
            total = {kind: total.get(kind, 0) + count for kind, count in survived.kills.items()}
            faults += len(survived.faults)
            _say(f"study {seed}: killed {survived.kills}; {survived.faults or 'nothing lost'}")
    _say(f"{sum(total.values())} kills {total} over {studies} studies: {faults} faults")
    return faults


def _spent(work: Callable[[], Any]) -> Spent:
    cpu = time.process_time()
    clock_s = _timed(work)
    return Spent(clock_s, time.process_time() - cpu)


def _timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _disk(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["overhead", "opening", "jobs", "fuzz"])
    parser.add_argument("--trials", type=int)
    parser.add_argument("--sampler", default="TPESampler")
    parser.add_argument("--studies", type=int, default=22)
    parser.add_argument("--kills", type=int, default=6)
    given = parser.parse_args()
    quiet_optuna()
    if given.what in (None, "overhead"):
        overhead(given.trials or (1000 if given.what else 100), given.sampler)
    if given.what in (None, "opening"):
        opening(given.trials or (10_000 if given.what else 1000))
    if given.what in (None, "jobs"):
        jobs(given.trials or (12 if given.what else 2))
    if given.what in (None, "fuzz"):
        return 1 if fuzz(given.studies if given.what else 1, given.kills) else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
