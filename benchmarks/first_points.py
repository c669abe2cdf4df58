"""Which published points a small encoder's search is to begin with: short trials on other rows than a race's.

    python -m benchmarks.first_points --cold DIR --model DIR --out DIR [--draws 3]

Each draw is 2,000 training and 1,500 validation rows of COLD's training file, none of them in the rows or the
dev file of `benchmarks.race --rows 2000`. Every point is trained on every draw as a trial of the race is: two
epochs, two evaluations each. Printed are the best macro-F1 of each, draw by draw, and their mean.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

from trainer import import_cold, load_config, run, write_text

RATES = (1e-4, 2e-4, 3e-4)
BATCHES = (16, 32)
#: published, and the race's first points have them as well
WARMUP, WEIGHT_DECAY = 0.1, 0.01
TRAIN_ROWS, VAL_ROWS = 2000, 1500
#: of the race, whose rows are left out
RACE_ROWS = 2000
#: draws are numbered from here, for their seeds
FIRST_DRAW = 1000


def draw_rows(cold: Path, out: Path, *, draws: int) -> Iterator[Path]:
    """Directories with train.jsonl and val.jsonl, one for each draw."""
    import_cold(cold, out=out / "all", overwrite=True)
    import_cold(cold, out=out / "race", limit_train=RACE_ROWS, overwrite=True)
    raced = {text for name in ("train", "val") for _, text in _lines(out / "race" / f"{name}.jsonl")}
    lines = [line for line, text in _lines(out / "all" / "train.jsonl") if text not in raced]
    for number in range(draws):
        drawn = random.Random(FIRST_DRAW + number).sample(lines, TRAIN_ROWS + VAL_ROWS)
        directory = out / f"draw-{number}"
        directory.mkdir(parents=True, exist_ok=True)
        write_text(directory / "train.jsonl", "".join(drawn[:TRAIN_ROWS]))
        write_text(directory / "val.jsonl", "".join(drawn[TRAIN_ROWS:]))
        yield directory


def _lines(path: Path) -> list[tuple[str, str]]:
    """Each line, and the text in it."""
    with path.open(encoding="utf-8") as file:
        return [(line, json.loads(line)["text"]) for line in file]


def best_score(rows: Path, *, model: str, rate: float, batch: int, seed: int) -> float:
    """Best macro-F1 of the trial's evaluations."""
    directory = rows / f"batch-{batch}-rate-{rate:g}"
    settings = {
        "model.name": model,
        "model.max_sequence_length": 128,
        "data.train_path": str(rows / "train.jsonl"),
        "data.val_path": str(rows / "val.jsonl"),
        "training.num_epochs": 2,
        "training.evaluations_per_epoch": 2,
        "training.learning_rate": rate,
        "training.effective_batch_size": batch,
        "training.warmup_ratio": WARMUP,
        "training.weight_decay": WEIGHT_DECAY,
        "experiment.seed": seed,
    }
    resolved = load_config(template="hyperparameter_search", overrides=settings)
    outcome = run(resolved.config, directory=directory)
    return float(outcome.best_metrics["eval_f1_macro"])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cold", type=Path, required=True, help="directory with COLD's CSV files")
    parser.add_argument("--model", required=True, help="directory of an encoder")
    parser.add_argument("--out", type=Path, required=True, help="directory for rows and runs")
    parser.add_argument("--draws", type=int, default=3)
    arguments = parser.parse_args()
    draws = list(draw_rows(arguments.cold, arguments.out, draws=arguments.draws))
    for batch in BATCHES:
        for rate in RATES:
            scores = [
                best_score(rows, model=arguments.model, rate=rate, batch=batch, seed=42 + number)
                for number, rows in enumerate(draws)
            ]
            told = " ".join(f"{score:.4f}" for score in scores)
            print(f"batch {batch}, rate {rate:g}: {mean(scores):.4f} ({told})", flush=True)


if __name__ == "__main__":
    main()
