"""Training examples per second, against `transformers.Trainer` with the same model and rows.

    python -m benchmarks.throughput --model DIR --cold DIR [--rows 4000] [--repeats 3] [--threads 1]
    python -m benchmarks.throughput --model DIR --cold DIR --budgets 384,1024,2048,4096

Every contender trains the same rows in a process of its own, in turn, `--repeats` times over; a ratio
is taken within each turn. The clock runs from the first optimizer step to the last: loading and tokenising
are not in it, and neither is evaluation. No step is left out as warm-up, since the longest texts come first
when grouped by length. All use fused AdamW, float32, 128 tokens, the same effective batch.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.spread import Spread
from trainer import Config, Silent, import_cold

if TYPE_CHECKING:
    from trainer.data.splits import Split

MAX_LENGTH = 128
EFFECTIVE_BATCH = 32
LEARNING_RATE = 1e-4
#: evaluated after each epoch by our loop, which does not go without; never timed
VALIDATION_ROWS = 32

OURS = "cp-search"
#: contender -> Trainer's collator padding and sampling
TRAINERS = {
    "trainer": (True, "random"),
    "trainer-grouped": (True, "group_by_length"),
    "trainer-max": ("max_length", "random"),
}
TITLES = {
    OURS: "cp-search, packed without padding",
    "trainer": "Trainer, default (each batch padded to its longest)",
    "trainer-grouped": "Trainer, group_by_length",
    "trainer-max": f"Trainer, padded to {MAX_LENGTH}",
}


@dataclass(frozen=True)
class Rate:
    """Examples per second: by the wall clock, and by the CPU time of the process.

    Other processes slow the first down and hardly touch the second; with one thread and an idle
    machine they are the same.
    """

    wall: float
    cpu: float


class Clock:
    """Time spent in optimizer steps after `begin`; `skip` drops what was no training."""

    def __init__(self) -> None:
        self._wall_s = self._cpu_s = 0.0
        self._since: tuple[float, float] | None = None

    def begin(self) -> None:
        """The first optimizer step is about to begin; said again, nothing changes."""
        self._since = self._since or _now()

    def step(self) -> None:
        """An optimizer step has ended."""
        if self._since is None:
            raise RuntimeError("a step has ended and none had begun")
        wall, cpu = _now()
        self._wall_s += wall - self._since[0]
        self._cpu_s += cpu - self._since[1]
        self._since = wall, cpu

    def skip(self) -> None:
        """What happened since the last step is not counted."""
        self._since = _now()

    def rate(self, examples: int) -> Rate:
        """Examples per second; `examples`: of all steps."""
        return Rate(examples / self._wall_s, examples / self._cpu_s)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


class Watcher(Silent):
    """Shows a run of ours to the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def interrupted(self) -> bool:
        """Asked before every optimizer step."""
        self._clock.begin()
        return False

    def progress(self, done: int, total: int, status: str) -> None:
        """Called after every optimizer step."""
        self._clock.step()

    def evaluated(self, step: int, metrics: object) -> bool:
        """Called after every evaluation, as the run's `report`."""
        self._clock.skip()
        return False


def ours(config: Config, *, budget: int | None) -> Rate:
    """The rate of `trainer.run`. `budget`: tokens of a pack; None: what the loop takes."""
    from trainer import run
    from trainer.cutting import Packed

    if budget is not None:
        Packed.unlimited_tokens = budget
    clock = Clock()
    watcher = Watcher(clock)
    directory = Path(config.experiment.output_dir) / "run"
    outcome = run(config, directory=directory, observer=watcher, report=watcher.evaluated)
    if outcome.status != "completed":
        raise SystemExit(f"the run ended as {outcome.status}: {outcome.error}")
    return clock.rate(config.training.num_epochs * _rows(config))


def theirs(config: Config, contender: str) -> Rate:
    """The rate of `transformers.Trainer`, with our model's network and our token ids."""
    from transformers import DataCollatorWithPadding, Trainer, TrainerCallback

    from trainer.data.splits import cache_directory, read_rows, tokenised
    from trainer.model.build import build_model, load_tokenizer

    rows = read_rows(config)
    tokenizer = load_tokenizer(config.model, texts=rows.train.table.texts)
    split = tokenised(rows.train, tokenizer=tokenizer, cache_dir=cache_directory(config))
    net = build_model(config.model, tasks=rows.tasks, vocabulary_size=len(tokenizer)).net
    clock = Clock()

    class Ticker(TrainerCallback):  # type: ignore[misc]  # transformers is not checked
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            clock.begin()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.step()

    padding, sampling = TRAINERS[contender]
    width = MAX_LENGTH if padding == "max_length" else None
    Trainer(
        model=net,
        args=_arguments(config, sampling),
        train_dataset=_examples(split),
        data_collator=DataCollatorWithPadding(tokenizer, padding=padding, max_length=width),
        callbacks=[Ticker()],
    ).train()
    return clock.rate(config.training.num_epochs * _rows(config))


def _examples(split: Split) -> list[dict[str, Any]]:
    rows = [split.tokens.row(index, MAX_LENGTH).tolist() for index in range(len(split.tokens))]
    return [
        {"input_ids": row, "attention_mask": [1] * len(row), "labels": int(label)}
        for row, label in zip(rows, split.labels_NT[:, 0], strict=True)
    ]


def _arguments(config: Config, sampling: str) -> Any:
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=config.experiment.output_dir,
        use_cpu=True,
        per_device_train_batch_size=EFFECTIVE_BATCH,
        num_train_epochs=config.training.num_epochs,
        learning_rate=LEARNING_RATE,
        optim="adamw_torch_fused",
        train_sampling_strategy=sampling,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def _rows(config: Config) -> int:
    return len(Path(str(config.data.train_path)).read_text(encoding="utf-8").splitlines())


def _config(arguments: argparse.Namespace, data: Path, *, output: str) -> Config:
    """The one configuration that all contenders train."""
    return Config.model_validate(
        {
            "model": {"name": str(arguments.model), "max_sequence_length": MAX_LENGTH, "pooling": "cls"},
            "data": {
                "train_path": str(data / "train.jsonl"),
                "val_path": str(data / "val.jsonl"),
                "cache_dir": str(data / "cache"),
            },
            "training": {
                "num_epochs": arguments.epochs,
                "learning_rate": LEARNING_RATE,
                "batch_size": EFFECTIVE_BATCH,
                "fp16": False,
            },
            "callbacks": {"early_stopping_patience": None},
            "experiment": {"output_dir": output},
        }
    )


def _measure(arguments: argparse.Namespace, data: Path) -> Rate:
    """The child's side: one contender, once."""
    import torch

    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as output:
        config = _config(arguments, data, output=output)
        if arguments.contender == OURS:
            return ours(config, budget=arguments.budget)
        return theirs(config, arguments.contender)


def _in_a_process(arguments: argparse.Namespace, data: Path, *, contender: str, budget: int | None) -> Rate:
    options = {
        "--model": arguments.model,
        "--data": data,
        "--contender": contender,
        "--epochs": arguments.epochs,
        "--threads": arguments.threads,
        **({"--budget": budget} if budget else {}),
    }
    words = [str(word) for option in options.items() for word in option]
    threads = {"OMP_NUM_THREADS": str(arguments.threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.throughput", *words],
        env={**os.environ, **threads, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Rate(**json.loads(done.stdout.splitlines()[-1]))


def prepare(arguments: argparse.Namespace, data: Path) -> None:
    """COLD's rows as ours: `--rows` for training, a few to evaluate."""
    import_cold(arguments.cold, out=data, limit_train=arguments.rows)
    val = data / "val.jsonl"
    lines = val.read_text(encoding="utf-8").splitlines()[:VALIDATION_ROWS]
    val.write_text("\n".join(lines) + "\n", encoding="utf-8")


def compare(arguments: argparse.Namespace, data: Path, entries: Sequence[tuple[str, int | None]]) -> None:
    """Run all `entries` (contender, budget) in turn, `--repeats` times; print rates and ratios."""
    rates: dict[tuple[str, int | None], list[Rate]] = {entry: [] for entry in entries}
    for turn in range(arguments.repeats):
        # Who goes first changes: a machine that grows busier would favour the same one each time.
        shift = turn % len(entries)
        for entry in [*entries[shift:], *entries[:shift]]:
            rate = _in_a_process(arguments, data, contender=entry[0], budget=entry[1])
            rates[entry].append(rate)
            print(f"  turn {turn + 1}: {_title(entry)}: {rate.wall:.1f}, {rate.cpu:.1f}", flush=True)
    _print_table(rates, first=entries[0])


def _print_table(rates: dict[tuple[str, int | None], list[Rate]], *, first: tuple[str, int | None]) -> None:
    """Median (least-greatest) of each; ratios are of the first entry over this one, within a turn."""
    print(f"first is: {_title(first)}")
    print(f"{'examples per second':52} {'wall clock':18} {'first/this':18} {'CPU time':18} first/this")
    for entry, mine in rates.items():
        wall, cpu = [rate.wall for rate in mine], [rate.cpu for rate in mine]
        over = [a.wall / b.wall for a, b in zip(rates[first], mine, strict=True)]
        over_cpu = [a.cpu / b.cpu for a, b in zip(rates[first], mine, strict=True)]
        cells = f"{Spread.of(wall):.1f}", f"{Spread.of(over):.2f}", f"{Spread.of(cpu):.1f}"
        print(f"{_title(entry):52} {cells[0]:18} {cells[1]:18} {cells[2]:18} {Spread.of(over_cpu):.2f}")


def _title(entry: tuple[str, int | None]) -> str:
    contender, budget = entry
    return TITLES[contender] if budget is None else f"{budget} tokens"


def main() -> None:
    """Parse the command line; compare, or measure one contender for the parent."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="directory of an encoder")
    parser.add_argument("--cold", type=Path, help="directory of COLD's CSV files")
    parser.add_argument("--rows", type=int, default=4000, help="training rows")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of every contender")
    parser.add_argument("--budgets", help="compare these token budgets instead, as in 384,1024,2048")
    parser.add_argument("--contenders", default=",".join(TITLES), help="comma-separated; ours first")
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--contender", choices=list(TITLES), help=argparse.SUPPRESS)
    parser.add_argument("--budget", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        print(json.dumps(asdict(_measure(arguments, arguments.data))))
        return
    if arguments.cold is None:
        parser.error("--cold is needed: the directory with COLD's train.csv, dev.csv and test.csv")
    with tempfile.TemporaryDirectory() as data:
        prepare(arguments, Path(data))
        compare(arguments, Path(data), _entries(arguments))


def _entries(arguments: argparse.Namespace) -> list[tuple[str, int | None]]:
    if arguments.budgets:
        return [(OURS, int(budget)) for budget in arguments.budgets.split(",")]
    return [(name, None) for name in arguments.contenders.split(",")]


if __name__ == "__main__":
    main()
