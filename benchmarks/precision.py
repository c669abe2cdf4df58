"""Training on this CPU in bfloat16 against float32: how much faster, and whether the scores differ.

    python -m benchmarks.precision --model DIR --cold DIR [--rows 2000] [--val 2000] [--seeds 8]

Each seed trains the same COLD rows once in either arithmetic, in turns (the second seed begins with the
other), two epochs with two evaluations each. A score is the best validation macro-F1 of a run; the difference
is taken seed by seed. Times are of the whole run, evaluations included. On a CPU without matrix units for
bfloat16 both train in float32, and the benchmark says so and ends.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.spread import Spread
from trainer import Config, Silent, import_cold

MAX_LENGTH = 128
EFFECTIVE_BATCH = 32
LEARNING_RATE = 1e-4
EPOCHS = 2
ARITHMETIC = {"float32": False, "bfloat16": True}


@dataclass(frozen=True)
class Trained:
    """One run: its best validation macro-F1, its CPU time and its time by the clock, in seconds."""

    f1_macro: float
    cpu_s: float
    wall_s: float


def train(config: Config, directory: Path) -> Trained:
    """Train once, from the start to the last evaluation."""
    from trainer import run

    cpu, wall = time.process_time(), time.perf_counter()
    outcome = run(config, directory=directory, observer=Silent())
    if outcome.status != "completed":
        raise SystemExit(f"the run ended as {outcome.status}: {outcome.error}")
    score = outcome.best_metrics["eval_f1_macro"]
    return Trained(score, time.process_time() - cpu, time.perf_counter() - wall)


def compare(arguments: argparse.Namespace, home: Path) -> None:
    """All seeds, a line each, and what they say together."""
    turns: list[dict[str, Trained]] = []
    for seed in range(arguments.seeds):
        names = list(ARITHMETIC) if seed % 2 == 0 else list(ARITHMETIC)[::-1]
        turn = {
            name: train(_config(arguments, home, seed=seed, mixed=ARITHMETIC[name]), home / f"{name}-{seed}")
            for name in names
        }
        turns.append(turn)
        told = ", ".join(
            f"{name} {turn[name].f1_macro:.4f} in {turn[name].cpu_s:.1f} s" for name in ARITHMETIC
        )
        print(f"  seed {seed}: {told} of CPU", flush=True)
    print(f"bfloat16 is faster by: {_ratio(turns, 'cpu_s')} times (CPU), {_ratio(turns, 'wall_s')} (clock)")
    lead = [turn["bfloat16"].f1_macro - turn["float32"].f1_macro for turn in turns]
    print(f"macro-F1, bfloat16 less float32, seed by seed: {_mean(lead)}")
    print(f"the spread of seeds alone, in float32: {_deviation(turns):.4f} (standard deviation)")


def _ratio(turns: Sequence[dict[str, Trained]], what: str) -> str:
    ratios = [getattr(turn["float32"], what) / getattr(turn["bfloat16"], what) for turn in turns]
    return f"{Spread.of(ratios):.2f}"


def _mean(values: Sequence[float]) -> str:
    """With its standard error, of at least two values."""
    error = statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):+.4f}, standard error {error:.4f}"


def _deviation(turns: Sequence[dict[str, Trained]]) -> float:
    return statistics.stdev(turn["float32"].f1_macro for turn in turns)


def _config(arguments: argparse.Namespace, home: Path, *, seed: int, mixed: bool) -> Config:
    sections: dict[str, Any] = {
        "model": {"name": arguments.model, "max_sequence_length": MAX_LENGTH},
        "data": {
            "train_path": str(home / "train.jsonl"),
            "val_path": str(home / "val.jsonl"),
            "cache_dir": str(home / "cache"),
        },
        "training": {
            "num_epochs": EPOCHS,
            "evaluations_per_epoch": 2,
            "learning_rate": LEARNING_RATE,
            "batch_size": EFFECTIVE_BATCH,
            "fp16": mixed,
        },
        "callbacks": {"early_stopping_patience": None},
        "experiment": {"output_dir": str(home), "seed": seed},
    }
    return Config.model_validate(sections)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", required=True, help="directory of an encoder of BERT's family")
    parser.add_argument("--cold", type=Path, required=True, help="directory with COLD's CSV files")
    parser.add_argument("--rows", type=int, default=2000, help="training rows")
    parser.add_argument("--val", type=int, default=2000, help="validation rows")
    parser.add_argument("--seeds", type=int, default=8, help="at least two")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    import torch

    from trainer.processor import multiplies_bf16

    if not multiplies_bf16():
        raise SystemExit("this CPU has no matrix units for bfloat16 (AMX): both would train in float32")
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        import_cold(arguments.cold, out=home, limit_train=arguments.rows)
        val = home / "val.jsonl"
        lines = val.read_text(encoding="utf-8").splitlines(keepends=True)[: arguments.val]
        val.write_text("".join(lines), encoding="utf-8")
        compare(arguments, home)


if __name__ == "__main__":
    main()
