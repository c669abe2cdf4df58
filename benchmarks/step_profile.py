"""Where the time of a packed training step on a CPU goes, by kinds of operations.

    python -m benchmarks.step_profile --cold DIR --model DIR [--steps 20] [--threads 1]
    python -m benchmarks.step_profile --cold DIR --model DIR --compile [--repeats 3]
    python -m benchmarks.step_profile --cold DIR --model DIR --vocabulary [--repeats 3]
    python -m benchmarks.step_profile --cold DIR --model DIR --team --threads 2 [--repeats 3]

The step is the product's: an effective batch of COLD's dev rows in packs, forward and backward, clipped,
AdamW. Shares are of the time that torch's profiler lays to operations themselves, over all steps but the
first few; its clock runs on while other processes have the core. With --compile nothing is profiled: steps of
the model as it is and of one whose layers' feed-forward part, then also attention's output part, went through
torch.compile take turns on the same rows. With --vocabulary so do steps that train the whole vocabulary and
steps that train the rows of tokens that occur. With --team so do steps whose operations torch spreads over
the threads and steps that are shared out among them, and the clock is looked at.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.evaluation import MAX_LENGTH, Cost, configuration, parts
from benchmarks.spread import Spread
from benchmarks.throughput import EFFECTIVE_BATCH
from trainer import Config

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trainer.cutting import Packed
    from trainer.data.packs import PackedBatch
    from trainer.step import TrainStep
    from trainer.team import Team

#: steps before anything is measured: allocations, caches, compilation
WARM_UP = 3
#: kind -> operations of torch that are of it
KINDS = {
    "matrix products": ("addmm", "mm"),
    "attention's products": ("bmm", "baddbmm"),
    "drawing dropout masks": ("random_", "ge"),
    "AdamW": ("_fused_adamw_",),
    "copies": ("copy_", "cat", "index_select"),
    "GELU": ("gelu", "gelu_backward"),
    "LayerNorm": ("native_layer_norm", "native_layer_norm_backward"),
    "softmax": ("_softmax", "_softmax_backward_data", "_log_softmax", "_log_softmax_backward_data"),
    "products and sums by element": ("mul", "mul_", "add", "add_", "div", "div_"),
    "embedding": ("embedding", "embedding_dense_backward"),
    "sums": ("sum",),
}
_KIND_OF = {f"aten::{name}": kind for kind, names in KINDS.items() for name in names}
REST = "the rest"


@dataclass(frozen=True)
class Stepper:
    """Takes training steps on rows of a split, as the loop does where no card limits it."""

    step: TrainStep
    cutting: Packed
    lengths_N: NDArray[np.int64]
    labels_NT: NDArray[np.int64]
    team: Team | None = None

    @classmethod
    def of(cls, config: Config, *, whole_vocabulary: bool = False, members: int = 1) -> Stepper:
        """With the model of `config`, in training mode; its rows are the validation rows."""
        import torch

        from trainer.cutting import Packed
        from trainer.team import Team

        torch.manual_seed(config.experiment.seed)
        evaluator, split = parts(config, whole_vocabulary=whole_vocabulary)
        evaluator.step.model.train()
        multiple = evaluator.step.precision.token_multiple
        cutting = Packed(split, max_length=MAX_LENGTH, multiple=multiple)
        lengths_N = split.tokens.lengths(MAX_LENGTH)
        team = Team(evaluator.step, members) if members > 1 else None
        return cls(evaluator.step, cutting, lengths_N, split.labels_NT, team)

    def take(self, rows: NDArray[np.int64]) -> None:
        """One optimizer step."""
        totals = self.step.loss.totals(self.labels_NT[rows])
        if self.team is None:
            self.step.gradients(self.packs(rows), totals)
        else:
            longest_first = rows[(-self.lengths_N[rows]).argsort(kind="stable")]
            self.team.gradients(longest_first, self.packs, totals)
        self.step.update()

    def packs(self, rows: NDArray[np.int64]) -> list[PackedBatch]:
        """As the loop cuts rows."""
        cuts = self.cutting.cuts(self.lengths_N[rows], self.cutting.unlimited_tokens)
        return [self.cutting.batch(rows[cut]) for cut in cuts]

    def batches(self) -> Iterator[NDArray[np.int64]]:
        """Rows of one effective batch after another, without end; the same for every stepper."""
        import numpy as np

        order = np.random.default_rng(0)
        while True:
            yield order.choice(len(self.labels_NT), EFFECTIVE_BATCH, replace=False)


def shares(times: Mapping[str, float]) -> dict[str, float]:
    """Operation -> time, as share of each kind, largest first."""
    found: Counter[str] = Counter()
    for name, spent in times.items():
        found[_KIND_OF.get(name, REST)] += spent  # type: ignore[assignment]  # counts fractions as well
    whole = sum(found.values())
    return {kind: spent / whole for kind, spent in found.most_common()}


def profiled(stepper: Stepper, *, steps: int) -> dict[str, float]:
    """Operation -> time of its own over so many steps, in microseconds."""
    from torch.profiler import ProfilerActivity, profile

    rows = stepper.batches()
    for _ in range(WARM_UP):
        stepper.take(next(rows))
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(steps):
            stepper.take(next(rows))
    return {one.key: one.self_cpu_time_total for one in found.key_averages()}


def show_shares(config: Config, *, steps: int) -> None:
    """Profile, and print a line for each kind."""
    times = profiled(Stepper.of(config), steps=steps)
    print(f"share of {steps} steps, {EFFECTIVE_BATCH} rows each")
    for kind, share in shares(times).items():
        print(f"{kind:30} {share:6.1%}")
    others = {name: spent for name, spent in times.items() if name not in _KIND_OF}
    largest = max(others, key=lambda name: others[name])
    print(f"(largest of the rest: {largest}, {others[largest] / sum(times.values()):.1%})")


def compile_feed_forward(layer: Any) -> None:
    """Of a layer of BERT's family."""
    import torch

    layer.feed_forward_chunk = torch.compile(layer.feed_forward_chunk, dynamic=True)


def compile_output_too(layer: Any) -> None:
    """The same, and what follows attention in the layer."""
    compile_feed_forward(layer)
    layer.attention.output.compile(dynamic=True)


COMPILED: dict[str, Callable[[Any], None]] = {
    "feed-forward part": compile_feed_forward,
    "and attention's output part": compile_output_too,
}


def compare(config: Config, *, steps: int, repeats: int) -> None:
    """Print, for each way to compile, what that took and how many times as fast the steps are."""
    for name, apply in COMPILED.items():
        plain, compiled = Stepper.of(config), Stepper.of(config)
        for layer in compiled.step.model.net.base_model.encoder.layer:
            apply(layer)
        _several(plain, steps=WARM_UP)
        first = Cost.of(partial(_several, compiled, steps=WARM_UP))
        turns = [_turn(plain, compiled, steps=steps) for _ in range(repeats)]
        print(f"{name}: {Spread.of(turns):.2f} times as fast by CPU time")
        print(f"  and {first.cpu_s:.1f} s of it for the first {WARM_UP} steps, compilation included")


def compare_vocabulary(config: Config, *, steps: int, repeats: int) -> None:
    """Print how many times as fast the steps are that train the rows of tokens that occur."""
    whole, occurring = Stepper.of(config, whole_vocabulary=True), Stepper.of(config)
    for stepper in (whole, occurring):
        _several(stepper, steps=WARM_UP)
    turns = [_turn(whole, occurring, steps=steps) for _ in range(repeats)]
    of, to = (len(one.step.model.net.get_input_embeddings().weight) for one in (whole, occurring))
    print(f"rows of {to:,} tokens in place of {of:,}: {Spread.of(turns):.2f} times as fast by CPU time")


def compare_team(config: Config, *, steps: int, repeats: int, threads: int) -> None:
    """Print how many times as fast steps are, by the clock, that are shared out among `threads` cores."""
    import torch

    spread, shared = Stepper.of(config), Stepper.of(config, members=threads)
    alone = Stepper.of(config)
    for name, plain, its_threads in (("torch's threads", spread, threads), ("one thread", alone, 1)):
        torch.set_num_threads(its_threads)
        for stepper in (plain, shared):
            _several(stepper, steps=WARM_UP)
        turns = [_turn(plain, shared, steps=steps, clock=True) for _ in range(repeats)]
        print(f"shared out among {threads} over {name}: {Spread.of(turns):.2f} times as fast by the clock")


def _turn(plain: Stepper, other: Stepper, *, steps: int, clock: bool = False) -> float:
    """Plain, other, other, plain, on the same rows; by CPU time if not by the clock."""
    costs = [Cost.of(partial(_several, one, steps=steps)) for one in (plain, other, other, plain)]
    spent = [cost.wall_s if clock else cost.cpu_s for cost in costs]
    return (spent[0] + spent[3]) / (spent[1] + spent[2])


def _several(stepper: Stepper, *, steps: int) -> None:
    rows = stepper.batches()
    for _ in range(steps):
        stepper.take(next(rows))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cold", type=Path, required=True, help="directory with COLD's CSV files")
    parser.add_argument("--model", required=True, help="directory of an encoder of BERT's family")
    parser.add_argument("--rows", type=int, help="of the dev rows, the first so many")
    parser.add_argument("--steps", type=int, default=20, help="that are measured, or of each turn")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="compare with torch.compile")
    parser.add_argument("--vocabulary", action="store_true", help="compare with training all of it")
    parser.add_argument("--team", action="store_true", help="compare with steps shared out among --threads")
    parser.add_argument("--repeats", type=int, default=3, help="turns of the comparison")
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as directory:
        config = configuration(
            Path(directory), cold=arguments.cold, model=arguments.model, rows=arguments.rows, mixed=True
        )
        if arguments.compile:
            compare(config, steps=arguments.steps, repeats=arguments.repeats)
        elif arguments.vocabulary:
            compare_vocabulary(config, steps=arguments.steps, repeats=arguments.repeats)
        elif arguments.team:
            compare_team(config, steps=arguments.steps, repeats=arguments.repeats, threads=arguments.threads)
        else:
            show_shares(config, steps=arguments.steps)


if __name__ == "__main__":
    main()
