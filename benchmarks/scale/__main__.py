"""Where sampler, storage and planner saturate, from one worker to a thousand.

    python -m benchmarks.scale [--sizes 100,1000,5000,20000,100000] [--stored 100,1000,5000] [--trials 100000]
    python -m benchmarks.scale --trial-minutes 10,1
    python -m benchmarks.scale --storage postgresql+psycopg://...

Measures what one trial costs in a study of each size, with the real sampler (TPE), pruner (median) and
storage, then simulates fleets on these costs. Trials in memory measure the sampler alone; what a database
adds to it at the same size is the storage's share. Beyond the largest measured size the sampler's time goes
on by its last slope, and the storage's where that rises. The planner is asked for combinations it knows.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from optuna.storages import BaseStorage, InMemoryStorage

from benchmarks.scale.costs import EVALUATIONS, Cost, measure, timed
from benchmarks.scale.fleet import Account, Fleet, curve, simulate
from search.room import RoomBook, combinations, survey
from search.space import Space, load_space
from search.storage.storage import open_storage
from search.storage.url import sqlite_url
from trainer import Room

FLEETS = (1, 10, 100, 1000)


def main() -> None:
    """Parse the command line, measure, simulate."""
    arguments = _arguments()
    space = load_space("rtx3050")
    print("In memory: the sampler's and pruner's own time")
    memory = _measured(space, InMemoryStorage(), arguments.sizes, arguments.repeats)
    with tempfile.TemporaryDirectory() as directory:
        url = arguments.storage or sqlite_url(Path(directory) / "scale.db")
        print(f"\n{url.partition(':')[0]}: sampler, pruner and storage")
        stored = _measured(space, open_storage(url), arguments.stored, arguments.repeats)
    _planner(space)
    for minutes in arguments.trial_minutes:
        _simulated(memory, stored, arguments, minutes=minutes)


def _planner(space: Space) -> None:
    """What a trial's room costs once its combination was planned; the rooms themselves are made up."""
    room = Room("fits", predicted_bytes=2**30, needed_bytes=2**30, limit_bytes=2**32)
    known = survey(space, card="any", ask=lambda configs: [room] * len(configs))
    book = RoomBook(space, known, ask=lambda configs: [])
    values = combinations(space)
    seconds = timed(lambda: [book.room(chosen) for chosen in values * 100])
    each = 1e6 * seconds / (100 * len(values))
    print(f"\nplanner: {len(values)} combinations, planned once a study; then {each:.0f} us a trial")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=_numbers, default=_numbers("100,1000,5000,20000,100000"))
    parser.add_argument(
        "--stored", type=_numbers, default=_numbers("100,1000,5000"), help="sizes in a database"
    )
    parser.add_argument("--storage", help="a database in place of an SQLite file")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--trials", type=int, default=100_000, help="trials of the simulated study")
    parser.add_argument(
        "--trial-minutes", type=_minutes, default=_minutes("10,1"), help="median training times of a trial"
    )
    parser.add_argument("--failures", type=float, default=0.1, help="failures of a node in a day")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _minutes(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _measured(space: Space, storage: BaseStorage, sizes: list[int], repeats: int) -> list[Cost]:
    print(
        f"{'trials':>8} {'suggest':>9} {'report':>9} {'tell':>9} {'a trial':>9}   ms; {EVALUATIONS} reports"
    )
    costs = []
    for cost in measure(space, storage, sizes=sizes, repeats=repeats):
        row = (cost.suggest, cost.report, cost.tell, cost.whole)
        print(f"{cost.trials:8}" + "".join(f"{1000 * seconds:10.1f}" for seconds in row), flush=True)
        costs.append(cost)
    return costs


def _simulated(
    memory: Sequence[Cost], stored: Sequence[Cost], arguments: argparse.Namespace, *, minutes: float
) -> None:
    sampler = curve([(cost.trials, cost.whole) for cost in memory])
    storage = curve(
        [(cost.trials, max(1e-4, cost.whole - sampler(cost.trials))) for cost in stored], falls=False
    )
    print(
        f"\n{arguments.trials} trials of {minutes:g} min, {arguments.failures:g} failures of a node in a day;"
        f"\nthe storage takes {1000 * storage(stored[-1].trials):.0f} ms of a trial at {stored[-1].trials}, "
        f"{1000 * storage(arguments.trials):.0f} ms at {arguments.trials} by extrapolation"
    )
    for one_sampler in (False, True):
        print("One process suggests for all, storage included:" if one_sampler else "Each worker suggests:")
        print("workers    hours  training  waiting  suggesting    lost  retried    busy")
        for workers in FLEETS:
            fleet = Fleet(workers, minutes * 60, arguments.failures, one_sampler)
            _row(simulate(fleet, trials=arguments.trials, sampler=sampler, storage=storage))


def _row(account: Account) -> None:
    print(
        f"{account.workers:7} {account.hours:8.1f} {account.training:9.1%} {account.waiting:8.1%} "
        f"{account.suggesting:11.1%} {account.lost:7.2%} {account.retried:8} {account.busy:7.1%}"
    )


if __name__ == "__main__":
    main()
