"""Race a search of ours against what people use today.

    python -m benchmarks.race --model DIR --cold DIR --out DIR [--rows 2000] [--minutes 15] [--seeds 3]
    python -m benchmarks.race --model DIR --cold DIR --out DIR --rows 64 --val-rows 32 \\
        --trials 2 --epochs 1 --seeds 1

The same training rows, encoder, space, cores and time for all; each contender in a process of its own, one
after the other, with another one first at every seed. The clock starts with the process: imports,
tokenising and planning count. Peers need `pip install accelerate "ray[tune]"`. `--card 4GiB` plays a card
on the CPU that all train under (counting costs all of them time). What is printed can be printed again from
the logs in `--out` with `--show`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from benchmarks.race.log import Course, Log
from benchmarks.race.rules import Rules, Search
from benchmarks.race.summary import show

#: contender -> its module, and its search there if it is not called `search`; ours first
CONTENDERS = {
    "cp-search": "cp_search",
    "cp-search blind": "cp_search:search_blind",
    "hyperparam_search": "trainer_search",
    "optuna script": "plain_optuna",
    "ray asha": "ray_asha",
    "hyperparam_search bf16": "trainer_search:search_bf16",
    "optuna script bf16": "plain_optuna:search_bf16",
}

#: a contender stops by itself when its time is up, and may end the trial it is in
GRACE_S = 600.0


def race(arguments: argparse.Namespace) -> None:
    """All contenders at all seeds; what a seed's contender left already is not run again."""
    # Not where contenders start: it imports scikit-learn.
    from benchmarks.cold_search import prepare
    from search.draft import batches_for
    from search.rates import rates_for

    prepare(arguments, arguments.out / "data")
    batch = batches_for(arguments.rows)[1]
    known = tuple((rate, batch) for rate in rates_for(str(arguments.model.resolve())).good)
    for seed in _seeds(arguments):
        shift = seed % len(arguments.contenders)
        for name in [*arguments.contenders[shift:], *arguments.contenders[:shift]]:
            directory = _directory(arguments, name, seed)
            if not (directory / "done").exists():
                _start(arguments, name, seed=seed, known=known)
                (directory / "done").touch()


def _start(
    arguments: argparse.Namespace, name: str, *, seed: int, known: tuple[tuple[float, int], ...]
) -> None:
    directory = _directory(arguments, name, seed)
    directory.mkdir(parents=True)
    rules = Rules(
        model=str(arguments.model.resolve()),
        data=str(arguments.out / "data"),
        out=str(directory),
        seed=seed,
        trials=arguments.trials,
        seconds=arguments.minutes * 60,
        cores=arguments.cores,
        epochs=arguments.epochs,
        evaluations=arguments.evaluations,
        length=arguments.length,
        started=time.time(),
        card=arguments.card,
        known=known,
    )
    print(f"seed {seed}: {name}", flush=True)
    with (directory / "output.txt").open("w", encoding="utf-8") as output:
        command = [sys.executable, "-m", "benchmarks.race", "--contender", CONTENDERS[name]]
        contender = subprocess.Popen(
            [*command, "--rules", rules.dump()],
            env=_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code = _await(contender, seconds=rules.seconds + GRACE_S)
    print(
        f"  {time.time() - rules.started:.0f} s, best {Course.read(rules.log).best(rules.seconds)}",
        flush=True,
    )
    if code:
        print(f"  ended with code {code}: see {directory / 'output.txt'}", flush=True)


def _await(contender: subprocess.Popen[bytes], *, seconds: float) -> int:
    try:
        return contender.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(contender.pid, signal.SIGKILL)  # its session: what it started goes with it
        return contender.wait()


def _environment() -> dict[str, str]:
    here = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "RAY_AIR_NEW_OUTPUT": "0"}
    # A user's second start finds modules compiled, whoever's they are.
    quiet["PYTHONDONTWRITEBYTECODE"] = ""
    return {**os.environ, **quiet, "PYTHONPATH": path, "OMP_WAIT_POLICY": "PASSIVE"}


def _seeds(arguments: argparse.Namespace) -> range:
    return range(arguments.first_seed, arguments.first_seed + arguments.seeds)


def _directory(arguments: argparse.Namespace, name: str, seed: int) -> Path:
    return Path(arguments.out) / f"seed-{seed}" / name.replace(" ", "-")


def report(arguments: argparse.Namespace) -> None:
    """Print what the logs say."""
    results = {
        name: [Course.read(_directory(arguments, name, seed) / "log.jsonl") for seed in _seeds(arguments)]
        for name in arguments.contenders
    }
    targets = [float(target) for target in arguments.targets.split(",")]
    show(results, targets=targets, seconds=arguments.minutes * 60)


def contend(contender: str, rules: Rules) -> None:
    """The child's side: one contender, once."""
    if hasattr(os, "sched_setaffinity"):  # what it starts inherits it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: rules.cores])
    module, _, name = contender.partition(":")
    search: Search = getattr(import_module(f"benchmarks.race.{module}"), name or "search")
    search(rules, Log(rules.log, started=rules.started))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="directory of an encoder")
    parser.add_argument("--cold", type=Path, help="directory of COLD's CSV files")
    parser.add_argument("--out", type=Path, help="directory for data, logs and studies")
    parser.add_argument("--rows", type=int, default=2000, help="training rows")
    parser.add_argument("--val-rows", type=int, default=500, help="rows of dev that are evaluated")
    parser.add_argument("--minutes", type=float, default=15, help="time of each start")
    parser.add_argument("--trials", type=int, default=1000, help="at most so many")
    parser.add_argument("--seeds", type=int, default=3, help="starts of each contender")
    parser.add_argument("--first-seed", type=int, default=0, help="to add starts to those of another day")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--evaluations", type=int, default=2, help="per epoch")
    parser.add_argument("--length", type=int, default=128, help="tokens")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--card", help="virtual card that all train under, as in 4GiB")
    parser.add_argument("--targets", default="0.80,0.83,0.85", help="macro-F1 to reach")
    parser.add_argument("--contenders", type=lambda text: text.split(","), default=list(CONTENDERS))
    parser.add_argument("--show", action="store_true", help="only print what the logs in --out say")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--rules", type=Rules.load, help=argparse.SUPPRESS)
    return parser


def _missing(arguments: argparse.Namespace) -> Iterator[str]:
    needed = ["out"] if arguments.show else ["out", "model", "cold"]
    yield from (f"--{name}" for name in needed if getattr(arguments, name) is None)
    yield from (f"--contenders {name}" for name in arguments.contenders if name not in CONTENDERS)


def main() -> None:
    """Parse the command line; race and report, or run one contender for the parent."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.contender:
        contend(arguments.contender, arguments.rules)
        return
    if wrong := list(_missing(arguments)):
        parser.error(f"missing or unknown: {', '.join(wrong)}")
    arguments.out = arguments.out.resolve()
    if not arguments.show:
        race(arguments)
    report(arguments)


if __name__ == "__main__":
    main()
