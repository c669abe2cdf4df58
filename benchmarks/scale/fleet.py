"""A simulated fleet: workers that suggest, train and tell, nodes that fail, one storage that all wait for."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Fleet:
    """Who works. trial_s: median seconds of a trial's training; failures_per_day: of each node.

    one_sampler: one process suggests for all, as with `--engine ray`; otherwise each worker for itself.
    """

    workers: int
    trial_s: float
    failures_per_day: float
    one_sampler: bool = False


@dataclass(frozen=True)
class Account:
    """How a simulated study went. hours: of the clock, to the last trial. Shares are of the workers' time.

    training: share spent training. waiting: for the storage. suggesting: in the sampler. lost: training
    that a failing node lost. retried: trials taken up again. busy: share of the time
    that what all share was.
    """

    workers: int
    hours: float
    training: float
    waiting: float
    suggesting: float
    lost: float
    retried: int
    busy: float


def simulate(
    fleet: Fleet, *, trials: int, sampler: Callable[[int], float], storage: Callable[[int], float]
) -> Account:
    """Let `fleet` finish `trials` trials.

    sampler(n), storage(n): seconds of the worker's own CPU, and of the storage, that one trial costs in a
    study of n trials. The storage serves one at a time, in the order of arrival; a trial that a failing node
    lost starts again from its last checkpoint, half of what was done on average. A sampler that all share
    serves them in the same line.
    """
    dice = random.Random(0)
    free_at = served = 0.0
    spent = {"training": 0.0, "waiting": 0.0, "suggesting": 0.0, "lost": 0.0}
    begun = retried = 0
    clock: list[float] = [0.0] * fleet.workers
    heapq.heapify(clock)
    while begun < trials:
        now = heapq.heappop(clock)
        thinking, service = sampler(begun), storage(begun)
        start = max(now, free_at) + thinking if fleet.one_sampler else max(now + thinking, free_at)
        free_at = start + service
        served += service + (thinking if fleet.one_sampler else 0.0)
        length = fleet.trial_s * math.exp(dice.gauss(0, 0.5))
        failed = dice.random() < -math.expm1(-fleet.failures_per_day * length / 86_400)
        lost = length * dice.random() / 2 if failed else 0.0
        spent["suggesting"] += thinking
        spent["waiting"] += start - now - thinking + service
        spent["training"] += length
        spent["lost"] += lost
        retried += failed
        begun += 1
        heapq.heappush(clock, free_at + length + lost)
    end = max(clock)
    total = fleet.workers * end
    shares = {name: seconds / total for name, seconds in spent.items()}
    return Account(fleet.workers, end / 3600, **shares, retried=retried, busy=served / end)


def curve(points: Sequence[tuple[int, float]], *, falls: bool = True) -> Callable[[int], float]:
    """Seconds at any size, from (trials, seconds): linear between them, and on by the last slope.

    falls: whether that slope may be below zero.
    """

    def at(size: int) -> float:
        if size <= points[0][0] or len(points) == 1:
            return points[0][1]
        pairs = list(pairwise(points))
        (left, low), (right, high) = next((pair for pair in pairs if size <= pair[1][0]), pairs[-1])
        slope = (high - low) / (right - left)
        if size > right and not falls:
            return high + max(0.0, slope) * (size - right)
        return low + slope * (size - left)

    return at
