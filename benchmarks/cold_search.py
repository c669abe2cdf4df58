"""A whole search on COLD through `cp-search run`, beside TF-IDF on the same training rows.

    python -m benchmarks.cold_search --model DIR --cold DIR --out DIR [--rows 4000] [--trials 8]

The search is that of benchmarks/cold.yaml. Every choice (trial, epoch) is made on `--val-rows` rows of dev;
test is read once, by the finish of `cp-search run`; the exported model then labels all of dev. With an
`--out` that holds a study the search goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from sklearn.metrics import f1_score

from search.finish.final import Final
from search.finish.words import closing_lines, verdict
from trainer import LabelledTexts, import_cold, load_config, read_rows, tfidf_baseline, write_text

SPACE = Path(__file__).with_name("cold.yaml")
#: the validation subset is the same one for every run
SUBSET_SEED = 0


def prepare(arguments: argparse.Namespace, data: Path) -> None:
    """COLD's rows as ours, dev.jsonl: all of dev, val.jsonl: the part of it that choices are made on.

    What an earlier start left in `data` is written again.
    """
    import_cold(arguments.cold, out=data, limit_train=arguments.rows, overwrite=True)
    dev = (data / "val.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    write_text(data / "dev.jsonl", "".join(dev))
    subset = random.Random(SUBSET_SEED).sample(dev, min(arguments.val_rows, len(dev)))
    write_text(data / "val.jsonl", "".join(subset))


def search(arguments: argparse.Namespace, data: Path) -> dict[str, Any]:
    """`cp-search run --json`; its document."""
    settings = {
        "model.name": arguments.model.resolve(),
        "data.train_path": data / "train.jsonl",
        "data.val_path": data / "val.jsonl",
        "data.test_path": data / "test.jsonl",
    }
    options = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    options += ["--n-trials", str(arguments.trials), "--studies-dir", str(arguments.out / "studies")]
    report: dict[str, Any] = _cp_search("run", str(SPACE), *options, "--json")
    return report


def dev_f1(model_dir: str, data: Path) -> float:
    """Macro-F1 of the exported model on all of dev, through `cp-search predict`, scored by scikit-learn."""
    dev = data / "dev.jsonl"
    answers = _cp_search("predict", model_dir, "--file", str(dev), "--json")
    predicted = [answer["labels"]["label"] for answer in answers]
    rows = [json.loads(line) for line in dev.read_text(encoding="utf-8").splitlines()]
    return float(f1_score([str(row["labels"]) for row in rows], predicted, average="macro"))


def baseline_dev_f1(data: Path) -> float:
    """Macro-F1 on all of dev of TF-IDF + logistic regression, fitted on the same training rows."""
    names = {"train": "train", "val": "val", "test": "dev"}
    paths = {f"data.{key}_path": data / f"{name}.jsonl" for key, name in names.items()}
    config = load_config(overrides={key: str(path) for key, path in paths.items()}).config
    rows = read_rows(config)
    if rows.test is None:
        raise ValueError("dev.jsonl is named above")
    train, val, dev = (
        LabelledTexts(one.table.texts, one.labels_NT) for one in (rows.train, rows.val, rows.test)
    )
    shares_NC = tfidf_baseline(train, val=val, test=dev, tasks=rows.tasks).probabilities[0]
    return float(f1_score(dev.labels_NT[:, 0], shares_NC.argmax(1), average="macro"))


def _cp_search(*words: str) -> Any:
    """The command's JSON document; what it says meanwhile goes to our stderr."""
    command = [sys.executable, "-m", "search.cli", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True)
    return json.loads(done.stdout)


def show(report: dict[str, Any], data: Path) -> None:
    """Search and scores in a few lines."""
    best, final = report["best"], report["final"]
    print(f"search: trials {report['trials']}, {report['seconds']:.0f} s with the finish")
    print(f"best trial {best['number']}: {best['value']:.4f} on the validation subset, {best['params']}")
    for line in closing(report):
        print(line)
    print(f"{'macro-F1':24} {'dev, all':>9} {'test':>9}")
    print(f"{'search, retrained':24} {dev_f1(final['model_dir'], data):9.4f} {final['test_f1_macro']:9.4f}")
    print(f"{'TF-IDF, same rows':24} {baseline_dev_f1(data):9.4f} {final['baseline_f1_macro']:9.4f}")


def closing(report: dict[str, Any]) -> list[str]:
    """What `cp-search run` says at its end: verdict, confirmation, scores with intervals, slices."""
    final = TypeAdapter(Final).validate_python(report["final"])
    return [verdict(final), *closing_lines(final)]


def main() -> None:
    """Parse the command line, search, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="directory of an encoder")
    parser.add_argument("--cold", type=Path, required=True, help="directory of COLD's CSV files")
    parser.add_argument("--out", type=Path, required=True, help="directory for data and study")
    parser.add_argument("--rows", type=int, default=4000, help="training rows")
    parser.add_argument("--val-rows", type=int, default=1500, help="rows of dev that choices are made on")
    parser.add_argument("--trials", type=int, default=8)
    arguments = parser.parse_args()
    arguments.out = arguments.out.resolve()
    data = arguments.out / "data"
    prepare(arguments, data)
    show(search(arguments, data), data)


if __name__ == "__main__":
    main()
