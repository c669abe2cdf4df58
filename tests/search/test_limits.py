"""Trials that hang, machines that are full, studies that have seen enough, values seen before."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from filelock import FileLock
from optuna.trial import TrialState

from search.engine.inline import InlineEngine, InlineRunning
from search.history import ATTEMPTS, History
from search.host import Host, Memory
from search.lines import read_lines
from search.objective import suggest
from search.ownership import TRIAL_LOCK
from search.seats import Seats
from search.worker import Workplace, search
from tests.search.fakes import SPACE, Bench, Listener, Scripted, end_by_signal, sleep_on
from trainer import Config, ConfigError, HostFull, TooManyFailures

ONE = SPACE.replace("trials: 4", "trials: 1")
TWO = SPACE.replace("trials: 4", "trials: 2")
POINT = "{training.learning_rate: 2.0e-5, model.pooling: cls}"
GIB = 2**30


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class Clock:
    """Goes on as time does, and jumps when it is told to."""

    def __init__(self) -> None:
        self.ahead = self.due = 0.0

    def __call__(self) -> float:
        """Seconds; a jump is seen from the next look on, after the line was heard."""
        now = time.monotonic() + self.ahead
        self.ahead, self.due = self.ahead + self.due, 0.0
        return now

    def jump(self, line: str, *, by: float) -> None:
        """Go on when a trial says that it waits."""
        self.due += by if line.endswith("waiting") else 0.0


class Full(Host):
    """A machine with as little memory left as it is told, until it was looked at `looks` times.

    ended: how many processes the kernel had ended there, look after look; None: it does not count them.
    """

    def __init__(self, free_bytes: int, *, looks: int = 10**6, ended: Sequence[int] | None = None) -> None:
        self.free_bytes = free_bytes
        self.looks = looks
        self.ended = list(ended) if ended is not None else None

    def oom_kills(self) -> int | None:
        """As told; the last word stays."""
        if self.ended is None:
            return None
        return self.ended.pop(0) if len(self.ended) > 1 else self.ended[0]

    def memory(self) -> Memory:
        """Full, at first."""
        self.looks -= 1
        return Memory(self.free_bytes if self.looks > 0 else 64 * GIB, 64 * GIB)

    def held_bytes(self, pid: int) -> int | None:
        """What every process holds here, also one that has just ended."""
        return GIB // 4

    def others(self) -> str:
        """Who holds the rest."""
        return "firefox 60.00 GiB"


class Beside(Full):
    """A machine on which another worker runs trial 0 and holds the memory while this one waits for `HOURS`.

    An hour passes with each look at it while it is full: a trial that runs at last has its own time, however
    busy the real machine is. leaves_bytes: what is free once the other worker is gone.
    """

    HOURS = 3
    FULL_BYTES = GIB // 8

    def __init__(self, bench: Bench, text: str, *, leaves_bytes: int) -> None:
        super().__init__(self.FULL_BYTES)
        self.clock, self.hours = Clock(), 0
        self._bench, self._leaves_bytes = bench, leaves_bytes
        handle = bench.open(text)
        suggest(handle.study.ask(), handle.space)
        directory = bench.directory / "trial-0000"
        directory.mkdir(parents=True)
        self._lock = FileLock(directory / TRIAL_LOCK)
        self._lock.acquire()

    def memory(self) -> Memory:
        """Full, and an hour later than before once this worker was heard to wait."""
        if self._bench.listener.lines and self.free_bytes <= self.FULL_BYTES:
            self.clock.ahead += 3600.0
            self.hours += 1
        if self.hours == self.HOURS:
            self._lock.release()
            self.free_bytes = self._leaves_bytes
        return super().memory()


class Queue(InlineEngine):
    """An engine that has no place for a job until three hours of `clock` have passed."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.hours = 0
        self.place = threading.Event()

    def start(self, job: Any) -> InlineRunning:
        """Let it wait."""
        return Queued(job, heard=self._heard, place=self.place)

    def wait(self, running: Any, *, timeout_s: float) -> None:
        """An hour, up to the third."""
        if self.hours == 3:
            self.place.set()
            super().wait(running, timeout_s=timeout_s)
        else:
            self.hours += 1
            self.clock.ahead += 3600.0


class Queued(InlineRunning):
    """Does nothing before there is a place for it."""

    def __init__(self, job: Any, *, heard: threading.Condition, place: threading.Event) -> None:
        self._place = place
        Path(job.directory).mkdir(parents=True, exist_ok=True)
        super().__init__(job, heard=heard)

    @property
    def begun(self) -> bool:
        """Is there one?"""
        return self._place.is_set()

    def _work(self) -> None:
        self._place.wait()
        super()._work()


def hang(bench: Bench, limits: str, *, trials: int = 1, **job: Any) -> None:
    """Search with a first trial that says it waits and then hears nothing; an hour passes when it says so."""
    clock = Clock()
    bench.listener = Listener(partial(clock.jump, by=3600.0))

    def make(directory: str) -> Scripted:
        if not directory.endswith("0"):
            return Scripted(directory)
        return Scripted(directory, says="waiting", after=sleep_on, **job)

    text = SPACE.replace("trials: 4", f"trials: {trials}") + f"limits: {limits}\n"
    bench.search(make, text=text, clock=clock)


def test_a_trial_over_its_time_is_pruned_with_what_it_reported_and_not_tried_again(bench: Bench) -> None:
    hang(bench, "{trial_timeout: 30m, stall_timeout: null}", trials=2)
    late, other = bench.trials()
    assert (late.state, late.user_attrs["cause"]) == (TrialState.PRUNED, "timeout")
    assert late.intermediate_values == {1: 0.5, 2: 0.6}
    assert late.user_attrs["seconds"] == pytest.approx(3600.0, abs=120)
    assert all(violation <= 0 for violation in late.constraints.values())
    assert other.state == TrialState.COMPLETE
    assert [number for number, _ in bench.listener.started] == [0, 1]
    assert bench.listener.ended[0].error == "ended after limits.trial_timeout: 1800 s"
    (lived,) = [
        line for line in read_lines(bench.directory / "trial-0000" / ATTEMPTS) if line.keys() == {"seconds"}
    ]
    assert lived["seconds"] >= 3600


def test_a_trial_that_hangs_is_ended_tried_again_and_failed_in_the_end(bench: Bench) -> None:
    hang(bench, "{stall_timeout: 10m, retries: 1}", values=())
    hung, other = bench.trials()
    assert (hung.state, hung.user_attrs["cause"]) == (TrialState.FAIL, "stalled")
    assert hung.user_attrs["error"] == "ended after 600 s without progress (limits.stall_timeout)"
    assert hung.user_attrs["attempts"] == 2
    assert other.state == TrialState.COMPLETE


def test_the_time_in_which_an_engine_lets_a_trial_wait_is_none_of_its_own(bench: Bench) -> None:
    clock = Clock()
    text = ONE + "limits: {trial_timeout: 30m, stall_timeout: 10m, retries: 0}\n"
    bench.search(Scripted, text=text, engine=Queue(clock), clock=clock)
    assert [trial.state for trial in bench.trials()] == [TrialState.COMPLETE]
    assert History(bench.directory / "trial-0000").spent_s < 60


def test_a_trial_killed_while_memory_is_short_is_told_so(bench: Bench) -> None:
    job = partial(Scripted, values=(), after=end_by_signal)
    # One failure ends it: for another trial there would never be memory.
    text = ONE.replace("max_failures: 3", "max_failures: 1") + "limits: {retries: 0}\n"
    with pytest.raises(TooManyFailures):
        bench.search(job, text=text, host=Full(10 * 2**20))
    trial = bench.trials()[0]
    assert (trial.state, trial.user_attrs["cause"]) == (TrialState.FAIL, "host_memory")
    assert trial.user_attrs["error"].startswith("out of host memory (it held ")


@pytest.mark.parametrize(
    ("ended", "cause", "words"),
    [
        ([2, 3], "host_memory", "the kernel's OOM killer ended it (it held "),
        ([2, 2], "worker_lost", "killed by signal 9 (SIGKILL; it held "),
    ],
)
def test_the_count_of_the_oom_killer_tells_who_ended_a_trial_however_much_memory_was_left(
    bench: Bench, ended: list[int], cause: str, words: str
) -> None:
    job = partial(Scripted, values=(), after=end_by_signal)
    text = ONE.replace("max_failures: 3", "max_failures: 1") + "limits: {retries: 0}\n"
    left = 60 * GIB if cause == "host_memory" else 2**20
    with pytest.raises(TooManyFailures):
        bench.search(job, text=text, host=Full(left, ended=ended))
    (trial,) = bench.trials()
    assert (trial.state, trial.user_attrs["cause"]) == (TrialState.FAIL, cause)
    assert trial.user_attrs["error"].startswith(words)


def test_one_count_of_the_oom_killer_is_laid_to_one_death(bench: Bench) -> None:
    job = partial(Scripted, values=(), after=end_by_signal)
    text = ONE.replace("max_failures: 3", "max_failures: 2") + "limits: {retries: 0}\n"
    with pytest.raises(TooManyFailures):
        bench.search(job, text=text, host=Full(60 * GIB, ended=[2, 3]))
    assert [trial.user_attrs["cause"] for trial in bench.trials()] == ["host_memory", "worker_lost"]


@pytest.mark.slow
def test_no_further_trial_starts_while_memory_is_short_and_that_is_said_once(bench: Bench) -> None:
    host = Full(GIB, looks=5)
    end = bench.search(partial(Scripted, waits_s=0.3), engine=InlineEngine(), seats=Seats(2), host=host)
    assert end.trials == {"complete": 4}
    said = [line for line in bench.listener.lines if line.startswith("Waiting for host memory")]
    assert said == [
        "Waiting for host memory: a trial needs 1.00 GiB, 0 MiB are to be had, of which 512 MiB stay free"
    ]


def test_a_study_that_has_its_trials_ends_though_memory_is_short(bench: Bench) -> None:
    def refuse(line: str) -> None:
        assert not line.startswith("Waiting"), line

    bench.listener = Listener(refuse)
    end = bench.search(Scripted, text=ONE, host=Full(10 * 2**20))
    assert (end.reason, end.trials) == ("trials", {"complete": 1})


def test_the_time_of_a_study_ends_its_wait_for_memory(bench: Bench) -> None:
    clock = Clock()
    host = Full(10 * 2**20, looks=30)
    bench.listener = Listener(lambda line: clock.jump("waiting", by=7200.0 * line.startswith("Waiting for")))
    text = SPACE.replace("{trials: 4}", "{trials: 4, time: 1h}")
    end = bench.search(Scripted, text=text, host=host, clock=clock)
    assert (end.reason, end.trials) == ("time", {"complete": 1})
    assert host.looks > 0, "it ended only once there was memory"


def test_a_trial_that_would_run_alone_may_have_what_is_otherwise_left_to_others(bench: Bench) -> None:
    end = bench.search(Scripted, text=TWO, host=Full(GIB // 4))
    assert end.trials == {"complete": 2}
    assert [line for line in bench.listener.lines if line.startswith("Waiting")] == []


@pytest.mark.slow
def test_a_search_that_waits_in_vain_for_memory_while_nothing_of_it_runs_ends_and_says_who_has_it(
    bench: Bench,
) -> None:
    clock = Clock()
    bench.listener = Listener(lambda line: clock.jump("waiting", by=3600.0 * line.startswith("Waiting for")))
    with pytest.raises(HostFull) as ended:
        bench.search(Scripted, text=TWO, host=Full(GIB // 8), clock=clock)
    short = "a trial needs 256 MiB, 128 MiB more than are free; others hold it: firefox 60.00 GiB"
    assert str(ended.value).startswith(f"no host memory for a trial in 30 min: {short}. Close other programs")
    assert f"Waiting for host memory, up to 30 min: {short}" in bench.listener.lines
    assert [trial.state for trial in bench.open(TWO).trials()] == [TrialState.COMPLETE]
    assert bench.search(Scripted, text=TWO).trials == {"complete": 2}


@pytest.mark.slow
def test_a_worker_with_nothing_to_start_waits_for_another_worker_s_trial_however_long(bench: Bench) -> None:
    beside = Beside(bench, TWO, leaves_bytes=64 * GIB)
    end = bench.search(Scripted, text=TWO, host=beside, clock=beside.clock)
    assert (end.reason, end.trials) == ("trials", {"complete": 2})
    assert beside.hours >= Beside.HOURS
    assert bench.listener.lines == ["Waiting for the trials of another worker"]


@pytest.mark.slow
def test_memory_that_another_worker_s_trial_holds_is_waited_for_however_long_and_not_laid_to_others(
    bench: Bench,
) -> None:
    beside = Beside(bench, SPACE, leaves_bytes=GIB // 8)
    with pytest.raises(HostFull):
        bench.search(Scripted, text=SPACE, host=beside, clock=beside.clock)
    assert beside.hours > Beside.HOURS
    short = "a trial needs 256 MiB, 128 MiB more than are free"
    assert bench.listener.lines == [
        f"Waiting for host memory that trials of another worker hold: {short}",
        f"Waiting for host memory, up to 30 min: {short}; others hold it: firefox 60.00 GiB",
    ]


def test_a_killed_trial_that_waits_in_vain_for_memory_stays_open(bench: Bench) -> None:
    clock = Clock()
    bench.listener = Listener(lambda line: clock.jump("waiting", by=3600.0 * line.startswith("Waiting for")))
    with pytest.raises(HostFull):
        bench.search(partial(Scripted, kill_after=1), text=ONE, host=Full(GIB // 8), clock=clock)
    assert [trial.state for trial in bench.open(ONE).trials()] == [TrialState.RUNNING]
    assert bench.search(Scripted, text=ONE).trials == {"complete": 1}
    assert bench.listener.started == [(0, False), (0, True)]


def test_a_trial_that_was_killed_waits_for_memory_before_it_goes_on(bench: Bench) -> None:
    host = Full(10 * 2**20)
    attempts_at_wait: list[int] = []

    def relieve(line: str) -> None:
        if line.startswith("Waiting for host memory"):
            attempts_at_wait.append(len(bench.listener.started))
            host.free_bytes = 64 * GIB

    bench.listener = Listener(relieve)
    end = bench.search(partial(Scripted, kill_after=1), text=ONE, host=host)
    assert end.trials == {"complete": 1}
    assert bench.listener.started == [(0, False), (0, True)]
    assert attempts_at_wait == [1]


def test_a_study_ends_at_its_target(bench: Bench) -> None:
    text = SPACE.replace("{trials: 4}", "{trials: 4, target: 0.55}")
    end = bench.search(
        lambda directory: Scripted(directory, values=(0.6,) if directory.endswith("1") else (0.5,)),
        text=text,
        engine=InlineEngine(),
    )
    assert (end.reason, end.trials) == ("target", {"complete": 2})
    assert "A trial has reached the target: no further one is begun" in bench.listener.lines


def test_a_study_ends_after_as_many_trials_without_a_better_one_as_its_patience(bench: Bench) -> None:
    text = SPACE.replace("{trials: 4}", "{trials: 40, patience: 3}")
    end = bench.search(
        lambda directory: Scripted(directory, values=(0.6,) if directory.endswith("2") else (0.5,)),
        text=text,
        engine=InlineEngine(),
    )
    assert (end.reason, end.trials) == ("patience", {"complete": 6})


def seeds_of_equal_points(bench: Bench, *, repeats: int, seats: int = 1) -> list[int]:
    """Seeds with which four trials of the same values were trained."""
    seeds: list[int] = []

    def make(config: Config, directory: str, _seat: object) -> Scripted:
        seeds.append(config.experiment.seed)
        return Scripted(directory)

    text = SPACE + f"repeats: {repeats}\n"
    handle = bench.open(text)
    for _ in range(4):
        handle.study.enqueue_trial({"training.learning_rate": 2e-5, "model.pooling": "cls"})
    place = Workplace(bench.directory, InlineEngine(), bench.listener, make_job=make, seats=Seats(seats))
    search(handle, workplace=place)
    return seeds


def test_equal_values_are_trained_as_often_as_repeats_says_each_time_with_another_seed(bench: Bench) -> None:
    seeds = seeds_of_equal_points(bench, repeats=3)
    assert len(set(seeds)) == 3
    assert seeds[0] == 42
    assert bench.open(SPACE).trials()[3].user_attrs["cause"] == "same as trial 0"


def test_a_training_after_one_that_failed_takes_its_seed_and_none_that_is_being_trained(bench: Bench) -> None:
    seeds: dict[int, int] = {}
    last_began = Event()

    def linger() -> None:
        assert last_began.wait(60)

    def make(config: Config, directory: str, _seat: object) -> Scripted:
        number = int(directory[-4:])
        seeds[number] = config.experiment.seed
        if number == 3:
            last_began.set()
        if number == 1:
            return Scripted(directory, values=(), status="failed")
        return Scripted(directory, after=linger)

    handle = bench.open(SPACE.replace("trials: 4", "trials: 3") + "repeats: 3\n")
    for _ in range(4):
        handle.study.enqueue_trial({"training.learning_rate": 2e-5, "model.pooling": "cls"})
    place = Workplace(bench.directory, InlineEngine(), bench.listener, make_job=make, seats=Seats(3))
    assert search(handle, workplace=place).trials == {"complete": 3, "fail": 1}
    assert len({seeds[number] for number in (0, 2, 3)}) == 3
    assert seeds[3] == seeds[1]


def test_equal_values_side_by_side_are_trained_once_and_the_others_wait_for_it(bench: Bench) -> None:
    assert len(seeds_of_equal_points(bench, repeats=1, seats=3)) == 1
    first, *others = bench.trials()
    assert [other.user_attrs["cause"] for other in others] == ["same as trial 0"] * 3
    assert [other.value for other in others] == [first.value] * 3


def test_several_trials_run_side_by_side(bench: Bench) -> None:
    running: list[int] = []

    class Counting(InlineEngine):
        def wait(self, among: Any, *, timeout_s: float) -> None:
            running.append(len(among))
            super().wait(among, timeout_s=timeout_s)

    end = bench.search(partial(Scripted, waits_s=0.05), engine=Counting(), seats=Seats(3))
    assert end.trials == {"complete": 4}
    assert max(running) == 3


def test_nothing_is_left_of_an_ended_trial_that_only_a_continuation_needs(bench: Bench) -> None:
    bench.search(Scripted, engine=InlineEngine())
    assert list(bench.directory.glob("trial-*/checkpoints/*")) == []
    trial = bench.directory / "trial-0001"
    left = [
        trial / "checkpoints" / "last",
        trial / "checkpoints" / "previous",
        trial / "stages/1/checkpoints/last",
    ]
    for path in left:  # its worker died between telling and tidying
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("2")
    bench.search(Scripted, engine=InlineEngine())
    assert [path for path in left if path.exists()] == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("limits: {trial_timeout: 30}", "write for example 90s, 30m or 2h"),
        ("limits: {stall: 5m}", "limits.stall: unknown key"),
        ("limits: {retries: -1}", "limits.retries"),
        ("repeats: 0", "repeats"),
        ("keep: some", "keep"),
    ],
)
def test_a_limit_that_makes_no_sense_is_an_error_at_its_place(bench: Bench, line: str, words: str) -> None:
    with pytest.raises(ConfigError, match=r"fake.yaml:11:\d+: ") as refused:
        bench.space(SPACE + line + "\n")
    assert words in str(refused.value)
