"""A configuration laid onto the card of this run: rules for small cards, the plan, the ladder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.config.schema import Config
from trainer.data.splits import cache_directory, tokenised
from trainer.data.tokens import Progress
from trainer.errors import Unplannable
from trainer.memory.arithmetic import require_arithmetic
from trainer.memory.calibration import WARN_RATIO, Calibration, calibration_key
from trainer.memory.fitting import (
    Fitting,
    Shape,
    fit,
    largest_rung,
    measures_between,
    on_rung,
    small_card_rules,
)
from trainer.memory.plan import Planner
from trainer.memory.plan_cache import PlanCache
from trainer.memory.request import encoder_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from trainer.data.splits import RowSet
    from trainer.memory.card import CardSpec
    from trainer.preparation import Preparation

GIB = 2**30

#: a file's name -> who is told how many of its texts are tokenised
Told = Callable[[str], Progress]


@dataclass(frozen=True)
class Layout:
    """How a run lies on its card. config: what is trained and saved. fitting None: no card limits it.

    notes: what the card changed, a line each. occurring: rows of the vocabulary that are planned to be
    on the card, those of tokens that occur; None: all are.
    """

    config: Config
    notes: tuple[str, ...] = ()
    fitting: Fitting | None = None
    calibration: Calibration | None = None
    key: str = ""
    occurring: int | None = None

    @property
    def device(self) -> str:
        """cpu without a card, else virtual or cuda."""
        return self.key.split(" | ")[0] or "cpu"

    @property
    def predicted_bytes(self) -> int | None:
        """The planned peak of tensors on the card."""
        return self.fitting.predicted_bytes if self.fitting else None

    @property
    def hopeless(self) -> bool:
        """Whether not even the smallest micro-batch, with every measure, would fit the card."""
        return self.fitting is not None and self.fitting.verdict == "no"

    def learn(self, measured_bytes: int | None) -> str | None:
        """Hold the plan against the measured peak; a line for a person where it was far too low."""
        if self.fitting is None or self.calibration is None or not measured_bytes:
            return None
        predicted = self.fitting.planned_bytes
        ratio = self.calibration.learn(self.key, predicted_bytes=predicted, measured_bytes=measured_bytes)
        if ratio <= WARN_RATIO:
            return None
        there, planned = measured_bytes / GIB, predicted / GIB
        return (
            f"Warning: {there:.2f} GiB were used where {planned:.2f} were planned; later plans allow for it"
        )


def lay_out(ready: Preparation, *, spec: CardSpec | None, told: Told | None = None) -> Layout:
    """Plan `ready` on `spec`; traces a training step unless its plan is cached.

    On a card it needs the tokens of the rows; told(file): the progress where they have to be made first.
    """
    if spec is None:
        return Layout(without_offload(ready.config))
    return laid_out(ready.config, shape=shape_of(ready, ready.config, told=told), spec=spec)


def laid_out(config: Config, *, shape: Shape, spec: CardSpec) -> Layout:
    """`config` of a model of `shape` on `spec`: the rules, auto_batch_size, and the ladder.

    A model that cannot be planned keeps to the rules; recovery alone holds it within the card.

    Raises:
        UserError: the card lacks the arithmetic that is asked for.
    """
    require_arithmetic(config, spec)
    config, notes = small_card_rules(config, spec)
    try:
        return _planned(config, notes, shape=shape, spec=spec)
    except Unplannable as error:
        device = "virtual" if spec.virtual else "cuda"
        notes = (*notes, f"No plan, and nothing to make it fit: {error}")
        return Layout(config, notes, key=device, occurring=shape.occurring)


def _planned(config: Config, notes: tuple[str, ...], *, shape: Shape, spec: CardSpec) -> Layout:
    plans = plans_directory(config)
    planner = Planner(PlanCache(plans))
    if config.training.auto_batch_size:
        config, more = _largest(config, shape, spec, planner)
        notes = (*notes, *more)
    precision = "fp32" if spec.virtual else config.precision
    key = calibration_key(device="virtual" if spec.virtual else "cuda", card=spec.name, precision=precision)
    calibration = Calibration(plans / "calibration.json")
    factor = calibration.factor(key)
    fitting = fit(config, shape=shape, spec=spec, planner=planner, calibration=factor)
    notes = (*notes, *fitting.measures)
    return Layout(fitting.config, notes, fitting, calibration, key, shape.occurring)


def without_offload(config: Config) -> Config:
    """Where there is no card, everything is in host memory already."""
    return config.model_copy(
        update={"optimization": config.optimization.model_copy(update={"cpu_offload": False})}
    )


def shape_of(ready: Preparation, config: Config, *, told: Told | None = None) -> Shape:
    """What of the run's model decides its memory; reads no weights. told: as `lay_out`'s."""
    # Imports torch, which looking at a finished study (trainer.room) can do without.
    from trainer.model.build import can_checkpoint, encoder_config

    encoder = encoder_config(config.model, tasks=ready.rows.tasks, vocabulary_size=len(ready.tokenizer))
    sizes = tuple(len(task.classes) for task in ready.rows.tasks)
    rows = held_rows(config, ready.rows, tokenizer=ready.tokenizer, vocabulary=encoder.vocab_size, told=told)
    return Shape(encoder_json(encoder), sizes, checkpointable=can_checkpoint(encoder), occurring=rows)


def held_rows(
    config: Config,
    rows: RowSet,
    *,
    tokenizer: PreTrainedTokenizerFast,
    vocabulary: int,
    told: Told | None = None,
) -> int | None:
    """Rows of a table of `vocabulary` that a run of `config` on a card holds, as planned; None: all.

    Known by the tokens of training and validation rows, which are made if they are not in the cache.
    """
    from trainer.model.vocabulary import planned_rows

    if not holds_rows(config):
        return None
    cache = cache_directory(config)
    splits = [
        tokenised(each, tokenizer=tokenizer, cache_dir=cache, progress=told and told(each.table.path.name))
        for each in (rows.train, rows.val)
    ]
    return planned_rows((split.tokens.occurring() for split in splits), vocabulary=vocabulary)


def holds_rows(config: Config) -> bool:
    """Whether a run of `config` on a card may hold the rows of some tokens alone, trained or frozen."""
    from trainer.optimizer import by_element

    return by_element(config) or config.training.trained_layers is not None


def plans_directory(config: Config) -> Path:
    """Where plans and calibration are kept between runs."""
    return cache_directory(config) / "plans"


def _largest(
    config: Config, shape: Shape, spec: CardSpec, planner: Planner
) -> tuple[Config, tuple[str, ...]]:
    rung = largest_rung(config, shape=shape, spec=spec, planner=planner)
    said = f"auto_batch_size: micro-batches of {rung.micro_batch} are the largest that the plan allows"
    found = on_rung(config, rung)
    optimization = config.optimization
    as_asked = replace(
        rung, checkpointing=optimization.gradient_checkpointing, offload=optimization.cpu_offload
    )
    return found, (said, *measures_between(on_rung(config, as_asked), found))


def spec_of(wanted: CardSpec | None, present: CardSpec | None) -> CardSpec | None:
    """The card a run is held to: a virtual one, the device capped at what was wanted, or none."""
    if wanted is not None and wanted.virtual:
        return wanted
    if present is None or wanted is None:
        return present
    capability = min(filter(None, (wanted.capability, present.capability)), default=None)
    return replace(wanted, limit_bytes=min(wanted.limit_bytes, present.limit_bytes), capability=capability)
