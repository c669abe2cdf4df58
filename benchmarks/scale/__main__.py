"""Where sampler and storage saturate, from one worker to a thousand.

    python -m benchmarks.scale [--sizes 100,1000,10000,100000] [--stored 100,1000] [--trials 100000]
    python -m benchmarks.scale --storage postgresql+psycopg://...

Measures what one trial costs in a study of each size, with the real sampler (TPE), pruner (median) and
storage, then simulates fleets on these costs. Trials in memory measure the sampler alone; what a database
adds to it is the storage's share. Beyond the largest measured size a cost goes on by its last slope.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from optuna.storages import BaseStorage, InMemoryStorage

from benchmarks.scale.costs import EVALUATIONS, Cost, measure
from benchmarks.scale.fleet import Account, Fleet, curve, simulate
from search.space import Space, load_space
from search.storage import open_storage, sqlite_url

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
    _simulated(memory, stored, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=_numbers, default=_numbers("100,1000,5000,20000,100000"))
    parser.add_argument(
        "--stored", type=_numbers, default=_numbers("100,500,1500"), help="sizes in a database"
    )
    parser.add_argument("--storage", help="a database in place of an SQLite file")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--trials", type=int, default=100_000, help="trials of the simulated study")
    parser.add_argument("--trial-minutes", type=float, default=10.0, help="median training time of a trial")
    parser.add_argument("--failures", type=float, default=0.1, help="failures of a node in a day")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


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


def _simulated(memory: Sequence[Cost], stored: Sequence[Cost], arguments: argparse.Namespace) -> None:
    sampler = curve(memory, lambda cost: cost.whole)
    with_storage = curve(stored, lambda cost: cost.whole)

    def storage(size: int) -> float:
        return max(1e-4, with_storage(size) - sampler(size))

    print(
        f"\n{arguments.trials} trials of {arguments.trial_minutes:g} min, {arguments.failures:g} failures "
        f"of a node in a day; storage costs beyond {stored[-1].trials} trials are extrapolated"
    )
    print("workers    hours  training  waiting  suggesting    lost  retried  storage busy")
    for workers in FLEETS:
        fleet = Fleet(workers, arguments.trial_minutes * 60, arguments.failures)
        _row(simulate(fleet, trials=arguments.trials, sampler=sampler, storage=storage))


def _row(account: Account) -> None:
    print(
        f"{account.workers:7} {account.hours:8.1f} {account.training:9.1%} {account.waiting:8.1%} "
        f"{account.suggesting:11.1%} {account.lost:7.2%} {account.retried:8} {account.busy:13.1%}"
    )


if __name__ == "__main__":
    main()
