"""What an evaluation pass costs over its bare forward passes.

    python -m benchmarks.evaluation --cold DIR --model DIR [--rows N] [--repeats 3] [--threads 1]

Both go over COLD's dev rows with the same model in evaluation mode, in the same micro-batches. The pass is
all that a run does: micro-batches cut and made from the token cache, forward under the recovery from OOM,
logits put in order, loss, scores, confusion matrices. The bare passes have their tensors made beforehand and
drop what comes out. All is in float32. A turn is bare, whole, whole, bare; a ratio is taken within each turn,
of CPU time and of the wall clock. What a pass does besides is also timed alone, with a model that answers at
once: on a busy machine the ratios scatter by more than that.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.spread import Spread
from trainer import Config, import_cold

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.data.batches import Batch
    from trainer.data.packs import PackedBatch
    from trainer.data.splits import Split
    from trainer.evaluation import Evaluator

MAX_LENGTH = 128
#: of an evaluation over its forward passes
AIM = 1.05


@dataclass(frozen=True)
class Cost:
    """Seconds of the process's CPU time and of the wall clock."""

    cpu_s: float
    wall_s: float

    @classmethod
    def of(cls, work: Callable[[], object]) -> Cost:
        """What `work` takes."""
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        return cls(time.process_time() - cpu, time.perf_counter() - wall)


def configuration(home: Path, *, cold: Path, model: str, rows: int | None, mixed: bool) -> Config:
    """COLD's dev rows as validation rows, the first `rows` of them; a few rows to train on.

    mixed: bfloat16 on a CPU that has units for it.
    """
    import_cold(cold, out=home, limit_train=64)
    if rows is not None:
        lines = (home / "val.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (home / "val.jsonl").write_text("".join(lines[:rows]), encoding="utf-8")
    sections: dict[str, Any] = {
        "model": {"name": model, "max_sequence_length": MAX_LENGTH},
        "data": {"cache_dir": str(home / "cache")}
        | {f"{name}_path": str(home / f"{name}.jsonl") for name in ("train", "val")},
        "training": {"fp16": mixed},
        "experiment": {"output_dir": str(home)},
    }
    return Config.model_validate(sections)


def parts(config: Config, *, whole_vocabulary: bool = False) -> tuple[Evaluator, Split]:
    """The evaluator of a run of `config`, as its loop makes it, and the rows.

    whole_vocabulary: train that of tokens that do not occur in them too, as on a GPU.
    """
    import torch

    from trainer.cutting import Packed
    from trainer.data.splits import cache_directory, read_rows, tokenised
    from trainer.evaluation import Evaluator
    from trainer.loss import MultiTaskLoss
    from trainer.memory.open_card import open_card
    from trainer.memory.recovery import Recovery, TokenBudget
    from trainer.model.build import build_model, load_tokenizer
    from trainer.model.vocabulary import train_occurring_tokens
    from trainer.optimizer import build_optimizer
    from trainer.step import TrainStep, precision_for

    rows = read_rows(config)
    tokenizer = load_tokenizer(config.model, texts=rows.train.table.texts)
    split = tokenised(rows.val, tokenizer=tokenizer, cache_dir=cache_directory(config))
    model = build_model(config.model, tasks=rows.tasks, vocabulary_size=len(tokenizer))
    model.use_packing()
    if not whole_vocabulary:
        train_occurring_tokens(model.net, [split.tokens.occurring()])
    weights = [[1.0] * len(task.classes) for task in rows.tasks]
    loss = MultiTaskLoss(rows.tasks, weights=weights, label_smoothing=0.0)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    step = TrainStep(
        model,
        loss,
        build_optimizer(model, config),
        scaler,
        precision_for(config, "cpu", packs=model.packs),
        1.0,
    )
    tokens = min(config.micro_batch_size * MAX_LENGTH, Packed.unlimited_tokens)
    with open_card(None, present=None) as card:
        recovery = Recovery(card, say=print)
    return Evaluator(step, rows.tasks, TokenBudget(tokens, MAX_LENGTH), recovery), split


def batches_of(evaluator: Evaluator, split: Split) -> Sequence[PackedBatch]:
    """The micro-batches of a pass, made beforehand: packed, as on a CPU."""
    from trainer.data.batches import micro_batches
    from trainer.data.packs import pack_rows

    cuts = micro_batches(split.tokens.lengths(MAX_LENGTH), token_budget=evaluator.budget.tokens)
    return [pack_rows(split.tokens, cut, labels_NT=split.labels_NT, max_length=MAX_LENGTH) for cut in cuts]


def padded_of(evaluator: Evaluator, split: Split) -> Sequence[Batch]:
    """The same micro-batches padded."""
    from trainer.data.batches import collate, micro_batches

    cuts = micro_batches(split.tokens.lengths(MAX_LENGTH), token_budget=evaluator.budget.tokens)
    return [collate(split.tokens, cut, labels_NT=split.labels_NT, max_length=MAX_LENGTH) for cut in cuts]


def forward(evaluator: Evaluator, batches: Sequence[PackedBatch]) -> None:
    """The bare forward passes."""
    import torch

    model = evaluator.step.model.eval()
    with torch.inference_mode():
        for batch in batches:
            model.packed(batch)


def forward_padded(evaluator: Evaluator, batches: Sequence[Batch]) -> None:
    """The same of padded texts."""
    import torch

    model = evaluator.step.model.eval()
    with torch.inference_mode():
        for batch in batches:
            model(batch.ids_BL, batch.mask_BL)


def without_forward(evaluator: Evaluator) -> Evaluator:
    """The same evaluator with a model that takes no time."""
    import torch

    model = copy(evaluator.step.model)
    nothing = partial(_zeros, sum(model.sizes), torch.zeros)
    model.packed = nothing  # type: ignore[method-assign]  # of this copy only
    return replace(evaluator, step=replace(evaluator.step, model=model))


def _zeros(classes: int, make: Callable[[int, int], Tensor], batch: PackedBatch) -> Tensor:
    return make(len(batch.labels_BT), classes)


def compare(arguments: argparse.Namespace) -> None:
    """Take turns, print a line for each, and the ratios."""
    import torch

    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        config = configuration(
            home, cold=arguments.cold, model=arguments.model, rows=arguments.rows, mixed=False
        )
        evaluator, split = parts(config)
        batches = batches_of(evaluator, split)
        forward(evaluator, batches[-20:])  # allocations and caches
        print(
            f"{len(split.labels_NT)} rows in {len(batches)} micro-batches of {evaluator.budget.tokens} tokens"
        )
        padded = padded_of(evaluator, split)
        turns = [_turn(evaluator, split, batches, padded) for _ in range(arguments.repeats)]
    cpu, wall, besides, saved = (Spread.of(values) for values in zip(*turns, strict=True))
    print(f"evaluation over forward passes: {cpu:.3f} by CPU time, {wall:.3f} by the clock (aim: {AIM})")
    print(f"what it does besides, timed alone: {besides:.4f} of the forward passes' CPU time")
    print(f"forward passes of packed texts over those of padded ones: {saved:.3f} of the CPU time")


def _turn(
    evaluator: Evaluator, split: Split, batches: Sequence[PackedBatch], padded: Sequence[Batch]
) -> tuple[float, float, float, float]:
    """By CPU time and by the clock; what is no forward pass alone; packed over padded."""
    bare = partial(forward, evaluator, batches)
    whole = partial(evaluator.evaluate, split, where="the benchmark")
    first, *middle, last = (Cost.of(work) for work in (bare, whole, whole, bare))
    besides = Cost.of(partial(without_forward(evaluator).evaluate, split, where="the benchmark"))
    bare_cpu, bare_wall = first.cpu_s + last.cpu_s, first.wall_s + last.wall_s
    cpu, wall = (sum(one.cpu_s for one in middle), sum(one.wall_s for one in middle))
    print(f"forward {bare_cpu / 2:.2f} s, evaluation {cpu / 2:.2f} s of CPU time", flush=True)
    whole_rows = Cost.of(partial(forward_padded, evaluator, padded))
    return cpu / bare_cpu, wall / bare_wall, 2 * besides.cpu_s / bare_cpu, bare_cpu / 2 / whole_rows.cpu_s


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cold", type=Path, required=True, help="directory with COLD's CSV files")
    parser.add_argument("--model", required=True, help="directory of an encoder")
    parser.add_argument("--rows", type=int, help="of the dev rows, the first so many")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    compare(parser.parse_args())


if __name__ == "__main__":
    main()
