"""Rows per second of `predict` against transformers' own pipeline, and of ONNX against torch.

    python -m benchmarks.predict --model DIR --file test.jsonl [--rows 1500] [--repeats 3]

DIR is an export of one task. One thread, alternating, medians of CPU seconds (a busy machine stretches those
least). Every contestant labels the same texts; how many labels differ is printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch
from transformers import pipeline

from trainer import OnnxBackend, Predictor, read_texts

#: batch size of the pipeline
BATCH = 32


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
) -> dict[str, list[float]]:
    """Seconds of each, alternating; after one round that warms up and whose labels must agree."""
    warm = {name: label(texts[:64]) for name, label in who.items()}
    taken: dict[str, list[float]] = {name: [] for name in who}
    labels: dict[str, list[str]] = {}
    for _ in range(repeats):
        for name, label in who.items():
            started = time.process_time()
            labels[name] = label(texts)
            taken[name].append(time.process_time() - started)
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
    base = taken["pipeline"]
    for name, seconds in taken.items():
        ratios = [first / second for first, second in zip(base, seconds, strict=True)]
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        print(f"{name:14} {len(texts) / median(seconds):8.0f} rows/s  {median(ratios):.2f}x ({spread})")


if __name__ == "__main__":
    main()
