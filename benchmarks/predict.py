"""Rows per second of `predict` against transformers' own pipeline, and of ONNX against torch.

    python -m benchmarks.predict --model DIR --file test.jsonl [--rows 1500] [--repeats 3]

DIR is an export of one task. One thread, alternating, medians of CPU seconds (a busy machine stretches those
least) and of the clock's. Every contestant labels the same texts; how many labels differ is printed. The
pipeline pads each batch of 32 to its longest text: what that costs depends on how different their lengths
are, and so on where the model cuts them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from transformers import pipeline

from trainer import OnnxBackend, Predictor, read_texts

#: batch size of the pipeline
BATCH = 32


@dataclass(frozen=True)
class Taken:
    """Seconds that one labelling of all texts took."""

    cpu_s: float
    wall_s: float


def contestants(model: Path) -> dict[str, Callable[[Sequence[str]], list[str]]]:
    """Name -> texts in, labels out."""
    predictor = Predictor(model)
    (task,) = predictor.tasks
    classify = pipeline("text-classification", model=str(model), truncation=True, device="cpu")
    found: dict[str, Callable[[Sequence[str]], list[str]]] = {
        "pipeline": lambda texts: [one["label"] for one in classify(list(texts), batch_size=BATCH)],
        "predict": lambda texts: [one[task]["label"] for one in predictor.predict(texts)],
    }
    if (model / "model.onnx").is_file():
        fast = Predictor(model, backend=OnnxBackend(model, threads=1))
        found["predict, ONNX"] = lambda texts: [one[task]["label"] for one in fast.predict(texts)]
    return found


def measure(
    who: dict[str, Callable[[Sequence[str]], list[str]]], texts: Sequence[str], *, repeats: int
) -> dict[str, list[Taken]]:
    """Seconds of each, alternating; after one round that warms up and whose labels must agree."""
    warm = {name: label(texts[:64]) for name, label in who.items()}
    taken: dict[str, list[Taken]] = {name: [] for name in who}
    labels: dict[str, list[str]] = {}
    for _ in range(repeats):
        for name, label in who.items():
            cpu_s, wall_s = time.process_time(), time.monotonic()
            labels[name] = label(texts)
            taken[name].append(Taken(time.process_time() - cpu_s, time.monotonic() - wall_s))
    for name, found in labels.items():
        differing = sum(one != other for one, other in zip(found, labels["pipeline"], strict=True))
        print(f"{name}: {differing} of {len(texts)} labels differ from the pipeline's")
    assert warm.keys() == labels.keys()
    return taken


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    texts = read_texts(arguments.file)[: arguments.rows]
    taken = measure(contestants(arguments.model), texts, repeats=arguments.repeats)
    for name, rounds in taken.items():
        pairs = list(zip(taken["pipeline"], rounds, strict=True))
        rate = len(texts) / median(one.cpu_s for one in rounds)
        cpu = shown([base.cpu_s / one.cpu_s for base, one in pairs])
        wall = shown([base.wall_s / one.wall_s for base, one in pairs])
        print(f"{name:14} {rate:8.0f} rows per CPU second  {cpu}; by the clock {wall}")


def shown(ratios: Sequence[float]) -> str:
    """Median and range."""
    return f"{median(ratios):.2f}x ({min(ratios):.2f}-{max(ratios):.2f})"


if __name__ == "__main__":
    main()
