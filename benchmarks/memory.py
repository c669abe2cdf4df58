"""How right the memory plan is, and what it costs.

    python -m benchmarks.memory [published] [meter] [cost]

published: against figures measured on GPUs by others. meter: against the same step over real tensors on the
CPU. cost: seconds for a trace, a law, a whole space, and a plan that is cached. All three without arguments.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from transformers import AutoConfig, BertConfig

from benchmarks.masked_lm import tables
from search.room import combinations
from search.space import load_space
from trainer import plan_rooms
from trainer.memory.card import parse_card
from trainer.memory.encoders import known_encoders
from trainer.memory.plan import MIB, Planner, plan
from trainer.memory.plan_cache import PlanCache
from trainer.memory.published import CONTEXT_MIB, published
from trainer.memory.rehearsal import measure, rehearse
from trainer.memory.request import OptimizerKind, PlanRequest, PrecisionName, Software, encoder_json

HOST = Software(cuda=False, workspace_bytes=0)


def against_published() -> None:
    """Each published figure, the plan, and the error."""
    print(f"{'published (nvidia-smi, MiB)':42} {'published':>9} {'planned':>8} {'error':>7}")
    for row in published():
        planned = plan(row.request).device_bytes(CONTEXT_MIB * MIB) / MIB
        print(f"{row.setting:42} {row.device_mib:9} {planned:8.0f} {planned / row.device_mib - 1:+7.1%}")
    for table in tables():
        print(f"\n{table.name}: {table.conditions}; {table.source}")
        print(f"{'float16, max_memory_allocated, MB':42} {'published':>9} {'planned':>8} {'error':>7}")
        for figure in table.figures():
            found = figure.planned_megabytes()
            error = found / figure.megabytes - 1
            print(f"{figure.setting:42} {figure.megabytes:9.1f} {found:8.1f} {error:+7.1%}")


def against_meter() -> None:
    """The fake step's peak against the real step's, for all combinations of small settings."""
    errors = []
    for request in _combinations():
        planned, measured = rehearse(request).peak_bytes, measure(request).peak_bytes
        errors.append(abs(planned / measured - 1))
    print(
        f"plan against meter over real tensors, {len(errors)} configurations: "
        f"median error {statistics.median(errors):.3%}, worst {max(errors):.3%}"
    )


def cost() -> None:
    """Seconds, best of three, in this process with everything imported."""
    base, large = _bert(12, 768), _bert(24, 1024)
    for name, request in (("BERT-base", base), ("BERT-large", large)):
        hard = replace(request, checkpointing=True, accumulated=True)
        print(f"one trace, {name}: {_best(partial(plan, request)):.2f} s")
        print(f"one trace, {name}, checkpointing, accumulation: {_best(partial(plan, hard)):.2f} s")
    card = parse_card("rtx3050")
    seconds = _best(lambda: Planner().largest_rows(base, card=card), times=1)
    print(f"largest micro-batch of BERT-base (three traces, then a law): {seconds:.2f} s")
    for when, seconds in zip(("from nothing", "again"), _space(), strict=True):
        print(f"spaces/rtx3050.yaml, chinese-macbert-base, {when}: {seconds:.2f} s")
    with tempfile.TemporaryDirectory() as directory:
        Planner(PlanCache(Path(directory))).plan(base)
        warm = _best(lambda: Planner(PlanCache(Path(directory))).plan(base))
    print(f"a plan from the cache: {1000 * warm:.1f} ms")


def _space() -> Iterator[float]:
    """Seconds to plan all combinations of the reference space, without and with a cache; imports apart."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        shape = AutoConfig.for_model(**known_encoders()["hfl/chinese-macbert-base"])
        shape.save_pretrained(home / "model")
        rows = [json.dumps({"text": f"第{number}句", "labels": number % 2}) for number in range(20)]
        (home / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
        data = {f"data.{split}_path": str(home / "rows.jsonl") for split in ("train", "val", "test")}
        places = {"model.name": str(home / "model"), "data.cache_dir": str(home / "cache")}
        space = load_space("rtx3050", settings={**data, **places})
        configs = [space.trial_config(values) for values in combinations(space)]
        for _ in range(2):
            start = time.perf_counter()
            list(plan_rooms(configs, card=parse_card("rtx3050")))
            yield time.perf_counter() - start


def _combinations() -> list[PlanRequest]:
    precisions: tuple[PrecisionName, ...] = ("fp32", "bf16")
    optimizers: tuple[OptimizerKind, ...] = ("adamw_fused", "adamw_foreach", "adafactor")
    shapes = ((_bert(2, 128, 1000), 8, 32), (_bert(4, 256, 8000), 4, 128))
    return [
        replace(
            model,
            rows=rows,
            length=length,
            precision=precision,
            optimizer=optimizer,
            checkpointing=checkpointing,
            accumulated=checkpointing,
            software=HOST,
        )
        for (model, rows, length), precision, checkpointing, optimizer in itertools.product(
            shapes, precisions, (False, True), optimizers
        )
    ]


def _bert(layers: int, width: int, vocabulary: int = 21128) -> PlanRequest:
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
    )
    return PlanRequest(encoder_json(config), 16, 128, precision="fp16")


def _best(work: Callable[[], object], *, times: int = 3) -> float:
    """Seconds of the fastest of `times` runs: what else the machine does only adds to it."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main(parts: list[str]) -> None:
    """Run the named parts, or all."""
    known = {"published": against_published, "meter": against_meter, "cost": cost}
    for part in parts or list(known):
        known[part]()


if __name__ == "__main__":
    main(sys.argv[1:])
