"""How one configuration is laid onto a card: the measures that make it fit and change no result.

In order of cost: smaller micro-batches (while they still fill the card), selective, then full gradient
checkpointing, the optimizer's state in host memory, micro-batches down to a single example. The first rung of
that ladder whose plan fits is taken. See docs/decisions/0009.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from trainer.config.schema import Checkpointing, Config
from trainer.memory.card import show_size
from trainer.memory.request import PlanRequest, on_card, request_of

if TYPE_CHECKING:
    from trainer.memory.card import CardSpec
    from trainer.memory.plan import Plan, Planner

GIB = 2**30

#: cards up to this size get the rules for small cards (guide: an RTX 3050 shows a little over 4 GB)
SMALL_CARD_BYTES = int(4.5 * GIB)
SMALL_CARD_MICRO_BATCH = 8

#: below so many tokens a micro-batch no longer fills a card, and recomputing costs less than idling
FULL_TOKENS = 512

Verdict = Literal["fits", "tight", "no"]


@dataclass(frozen=True)
class Shape:
    """What of a model decides its memory: `encoder_json` of its configuration, and classes per task.

    checkpointable: activations can be recomputed; not of every family. occurring: rows of the vocabulary that
    a run trains on a card; None: all.
    """

    encoder: str
    sizes: tuple[int, ...]
    checkpointable: bool = True
    occurring: int | None = None

    def request(self, config: Config, spec: CardSpec) -> PlanRequest:
        """The step that training such a model with `config` repeats on `spec`."""
        asked = request_of(
            config,
            encoder=self.encoder,
            sizes=self.sizes,
            occurring=self.occurring,
            cuda=not spec.virtual,
        )
        return on_card(asked, spec)


@dataclass(frozen=True)
class Rung:
    """One way to lay a configuration onto a card; offload: optimizer state in host memory."""

    micro_batch: int
    checkpointing: Checkpointing
    offload: bool


@dataclass(frozen=True)
class Fitting:
    """The rung taken and what it is planned to need.

    config: with the rung applied. planned_bytes: the peak of tensors, as the card measures it.
    predicted_bytes: that, calibrated. needed_bytes: what the card must have, margin included. verdict:
    fits; tight (within the card, but not with the margin: worth trying, recovery is there); no (the
    tensors alone pass the card). measures: what was changed to make it fit, for a person.
    """

    config: Config
    rung: Rung
    plan: Plan
    planned_bytes: int
    predicted_bytes: int
    needed_bytes: int
    limit_bytes: int
    verdict: Verdict
    measures: tuple[str, ...]

    @property
    def over_bytes(self) -> int:
        """By how much the limit is passed; not above 0: it is not."""
        return self.needed_bytes - self.limit_bytes


def small_card_rules(config: Config, spec: CardSpec) -> tuple[Config, tuple[str, ...]]:
    """The configuration under the rules for cards of up to 4.5 GB, and a line for each that changed it.

    Micro-batch at most 8, at least two of them an effective batch (which stays as it is), pin_memory off,
    fp16 on where there is a GPU and bf16 is not. Checkpointing is the ladder's business.
    """
    if spec.total_bytes > SMALL_CARD_BYTES:
        return config, ()
    effective = config.effective_batch_size
    micro = max(1, min(SMALL_CARD_MICRO_BATCH, config.micro_batch_size, effective // 2))
    training = {"batch_size": micro, "effective_batch_size": effective}
    if not spec.virtual and not config.training.bf16:
        training["fp16"] = True
    ruled = _with(config, training=training, data={"pin_memory": False})
    return ruled, tuple(_changes(config, ruled, why=f"a card of {show_size(spec.total_bytes)}"))


def fit(
    config: Config, *, shape: Shape, spec: CardSpec, planner: Planner, calibration: float = 1.0
) -> Fitting:
    """The first rung of the ladder on which `config` fits `spec`; if none does, the lowest.

    calibration: measured over predicted peak of earlier runs of this kind on this card.
    """
    question = _Question(shape, spec, planner, calibration)
    first, *lower = ladder(config, checkpointable=shape.checkpointable)
    as_asked = _judge(config, first, question)
    if as_asked.verdict == "fits" or not lower:
        return as_asked
    *between, lowest = lower
    last = _judge(config, lowest, question)
    if last.verdict == "no":
        return last
    found = (_judge(config, rung, question) for rung in between)
    return next((fitting for fitting in found if fitting.verdict == "fits"), last)


def largest_rung(config: Config, *, shape: Shape, spec: CardSpec, planner: Planner) -> Rung:
    """The largest micro-batch, up to the effective batch, whose plan fits.

    As asked if it fills the card so, else with the first measures with which it does; where none does, with
    all of them (and of 1 where not even that fits).
    """
    full = min(config.effective_batch_size, _filling(config))
    for checkpointing, offload in _ways(config, checkpointable=shape.checkpointable):
        rung = Rung(1, checkpointing, offload)
        most = _largest(on_rung(config, rung), shape=shape, spec=spec, planner=planner)
        rung = replace(rung, micro_batch=max(1, most))
        if most >= full:
            break
    return rung


def _largest(config: Config, *, shape: Shape, spec: CardSpec, planner: Planner) -> int:
    """0: none fits. The effective batch whole is asked first: alone, no gradients wait during forward."""
    effective = config.effective_batch_size

    def request(micro: int) -> PlanRequest:
        training = {"batch_size": micro, "effective_batch_size": effective}
        return shape.request(_with(config, training=training), spec)

    if planner.plan(request(effective)).fits(spec):
        return effective
    return planner.largest_rows(request(1), card=spec, most=effective - 1)


def on_rung(config: Config, rung: Rung) -> Config:
    """`config` on `rung`, with the effective batch it had."""
    return _with(
        config,
        training={"batch_size": rung.micro_batch, "effective_batch_size": config.effective_batch_size},
        optimization={"gradient_checkpointing": rung.checkpointing, "cpu_offload": rung.offload},
    )


def ladder(config: Config, *, checkpointable: bool = True) -> Iterator[Rung]:
    """Rungs from the configuration as asked down to the least memory; none of them twice."""
    asked = config.micro_batch_size
    full = min(asked, _filling(config))
    filled = [micro for micro in _halves(asked) if micro >= full]
    small = [micro for micro in _halves(asked) if micro < full]
    ways = _ways(config, checkpointable=checkpointable)
    for checkpointing, offload in ways:
        yield from (Rung(micro, checkpointing, offload) for micro in filled)
    yield from (Rung(micro, *ways[-1]) for micro in small)


def _filling(config: Config) -> int:
    """The smallest micro-batch that fills a card."""
    return max(1, FULL_TOKENS // config.model.max_sequence_length)


def _ways(config: Config, *, checkpointable: bool) -> list[tuple[Checkpointing, bool]]:
    """Checkpointing and offload in order of cost, from what was asked; none of them twice."""
    checkpointed = config.optimization.gradient_checkpointing
    offloaded = config.optimization.cpu_offload
    most: Checkpointing = True if checkpointable else checkpointed
    ways: list[tuple[Checkpointing, bool]] = [(checkpointed, offloaded)]
    if checkpointable and not checkpointed:
        ways.append(("selective", offloaded))
    ways.append((most, offloaded))
    if config.optimization.optimizer != "AdamW8bit":  # its small state stays on the card
        ways.append((most, True))
    return list(dict.fromkeys(ways))


@dataclass(frozen=True)
class _Question:
    """What stays the same from rung to rung."""

    shape: Shape
    spec: CardSpec
    planner: Planner
    calibration: float


def _judge(config: Config, rung: Rung, question: _Question) -> Fitting:
    spec, factor = question.spec, question.calibration
    applied = on_rung(config, rung)
    plan = question.planner.plan(question.shape.request(applied, spec))
    # A virtual card counts tensors and nothing else, so its plan needs no margin.
    planned = plan.tensor_peak_bytes if spec.virtual else plan.allocated_bytes
    needed = round(factor * (planned if spec.virtual else plan.needed_bytes))
    floor = round(factor * (planned if spec.virtual else plan.flushed_bytes))
    limit = spec.limit_bytes
    return Fitting(
        config=applied,
        rung=rung,
        plan=plan,
        planned_bytes=planned,
        predicted_bytes=round(planned * factor),
        needed_bytes=needed,
        limit_bytes=limit,
        verdict="fits" if needed <= limit else "tight" if floor <= limit else "no",
        measures=measures_between(config, applied),
    )


def measures_between(asked: Config, applied: Config) -> tuple[str, ...]:
    """What was changed to make a configuration fit, a line each."""
    return tuple(_changes(asked, applied, why="to fit the card"))


def _halves(number: int) -> list[int]:
    found = [number]
    while found[-1] > 1:
        found.append(found[-1] // 2)
    return found


def _with(config: Config, **sections: Mapping[str, object]) -> Config:
    changed = {name: getattr(config, name).model_copy(update=values) for name, values in sections.items()}
    return config.model_copy(update=changed)


def _changes(before: Config, after: Config, *, why: str) -> Iterator[str]:
    watched: dict[str, Callable[[Config], object]] = {
        "micro-batch": lambda config: config.micro_batch_size,
        "gradient checkpointing": lambda config: config.optimization.gradient_checkpointing,
        "optimizer state in host memory": lambda config: config.optimization.cpu_offload,
        "pin_memory": lambda config: config.data.pin_memory,
        "fp16": lambda config: config.training.fp16,
    }
    for name, value in watched.items():
        old, new = value(before), value(after)
        if old != new:
            yield f"{name} {_said(old)} -> {_said(new)} ({why})"


def _said(value: object) -> str:
    return {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)
