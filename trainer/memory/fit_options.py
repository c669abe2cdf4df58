"""From a configuration, a card and what the user narrows to the question that a fit table answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, get_args

from trainer.config.yaml import closest
from trainer.data.splits import cache_directory
from trainer.errors import ConfigError, Problem, UserError
from trainer.memory.arithmetic import lacks_bf16
from trainer.memory.calibration import Calibration, calibration_key
from trainer.memory.card import known_cards, parse_card, with_context
from trainer.memory.encoders import encoder_shape, longest_text, with_dropout
from trainer.memory.fit_table import ALWAYS, NEVER, PLAIN, FitQuestion, Way, fit_table, ways_of
from trainer.memory.fitting import SMALL_CARD_BYTES, SMALL_CARD_MICRO_BATCH
from trainer.memory.plan import MARGIN, MIB, MIN_MARGIN_BYTES
from trainer.memory.plan_cache import PlanCache
from trainer.memory.request import (
    IN_HOST_MEMORY,
    Attention,
    OptimizerKind,
    PlanRequest,
    encoder_json,
    on_card,
    request_of,
)
from trainer.model.source import is_builtin

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedConfig

    from trainer.config.loader import Resolved
    from trainer.config.schema import Checkpointing, Config
    from trainer.memory.card import CardSpec
    from trainer.memory.fit_table import FitTable
    from trainer.memory.request import PrecisionName

LENGTHS = (128, 256, 384, 512)
BATCHES = (1, 2, 4, 8, 16, 32)

#: no plan is asked for beyond this, in tokens or rows
MOST = 65536

#: what `--optimizer` may name; AdamW and Adafactor are what training here would use
OPTIMIZERS: dict[str, OptimizerKind] = {
    "AdamW": "adamw_fused",
    "Adafactor": "adafactor",
    **{name: name for name in get_args(OptimizerKind) if not name.endswith("_old")},
}
#: what `--software` may name: how software of another age or setting uses memory
SOFTWARE: dict[str, dict[str, Any]] = {
    "old-softmax": {"old_softmax": True},  # torch before 1.11
    "zeroed-gradients": {"zeroed": True},  # torch before 2.0: gradients are alive during forward
    "no-workspace": {"workspace_bytes": 0},  # torch before 1.11: cuBLAS takes its own, beside the allocator
    "lazy-state": {"primed": False},  # the optimizer's state is made in its first step
    "expandable-segments": {"expandable": True},  # PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
}
#: with these a run on a card trains only rows of tokens that occur
TRAINING_ROWS = frozenset[OptimizerKind]({"adamw_fused", "adamw_offload"})
CHECKPOINTING: dict[str, Checkpointing] = {"off": False, "selective": "selective", "on": True}
BATCH_KEYS = ("training.batch_size", "training.gradient_accumulation_steps", "training.effective_batch_size")


@dataclass(frozen=True)
class FitOptions:
    """What narrows a question; None: as the configuration says.

    checkpointing: on, off, selective, or auto (the first of off, selective, on that fits). software: names
    from `SOFTWARE`, of how what others measured differs from what trains here.
    """

    precision: PrecisionName | None = None
    optimizer: str | None = None
    attention: str | None = None
    checkpointing: str | None = None
    lengths: tuple[int, ...] | None = None
    batches: tuple[int, ...] | None = None
    steps_accumulated: int | None = None
    software: tuple[str, ...] = ()


def plan_fit(
    resolved: Resolved, *, card: CardSpec, options: FitOptions, progress: Callable[[str], None]
) -> FitTable:
    """What of `resolved` fits `card`; `progress` is told what is traced, which takes a few seconds each.

    Raises:
        UserError, ModelError, ConfigError: as `fit_question`.
    """
    question = fit_question(resolved, card=card, options=options)
    return fit_table(question, cache=PlanCache(plans_cache(resolved.config)), progress=progress)


def planned_card(name: str | None, *, context: str | None = None) -> CardSpec:
    """The card called `name` (None: the GPU here, measured), with a context of another size if given.

    Raises:
        UserError: no such card, no GPU, or a context that is no size or larger than the card.
    """
    if name is not None:
        return parse_card(name, context=context)
    # Imports torch, which a plan from the cache for a named card can do without.
    from trainer.memory.context import measured_card

    card = measured_card()
    if card is None:
        raise UserError(f"there is no GPU here; name a card with --card, a size (4GiB) or one of {_cards()}")
    return card if context is None else with_context(card, context)


def fit_question(resolved: Resolved, *, card: CardSpec, options: FitOptions) -> FitQuestion:
    """The question about the model and settings of `resolved` on `card`; reads no weights and no data.

    Raises:
        UserError: an option is none of those there are, a size makes no sense, or the card lacks the
            arithmetic. ModelError: the model's shape cannot be had. ConfigError: the configuration
            contradicts the shape.
    """
    shape = _shape(resolved.config)
    request = _request(resolved.config, shape, options, card=card)
    _require_arithmetic(resolved, request, options, card=card)
    ways = _ways(resolved.config, shape, options)
    question = FitQuestion(
        request=request,
        card=card,
        lengths=_lengths(resolved, shape, options),
        batches=_batches(resolved, options),
        ways=ways,
        rescue=_rescue(ways, request, options),
        accumulates_below=_accumulates_below(resolved, options),
        calibration=_calibration(resolved.config, card, request),
    )
    return replace(question, notes=tuple(_notes(resolved.config, question)))


def plans_cache(config: Config) -> Path:
    """Where training keeps its plans too."""
    return cache_directory(config) / "plans"


def asks_for(resolved: Resolved, *keys: str) -> bool:
    """True if a template, a file or a flag set one of `keys`."""
    return any(resolved.origins[key] != "default" for key in keys)


def _cards() -> str:
    return ", ".join(known_cards())


def _shape(config: Config) -> PreTrainedConfig:
    from trainer.model.build import POOLED_FAMILIES

    model = config.model
    shape = with_dropout(encoder_shape(model.name), model.dropout_rate)
    problems = []
    if model.hidden_size not in (None, shape.hidden_size):
        problems.append(
            f"model.hidden_size is {model.hidden_size}, but {model.name} is {shape.hidden_size} wide; "
            "remove the key"
        )
    if model.pooling != "cls" and shape.model_type not in POOLED_FAMILIES:
        problems.append(f"model.pooling {model.pooling} is not known for {shape.model_type} models; use cls")
    if problems:
        raise ConfigError([Problem(None, text) for text in problems])
    return shape


def _request(config: Config, shape: PreTrainedConfig, options: FitOptions, *, card: CardSpec) -> PlanRequest:
    asked = request_of(config, encoder=encoder_json(shape), sizes=(config.model.num_labels,))
    request = on_card(asked, card)
    if options.precision is not None:
        request = replace(request, precision=options.precision)
    if options.optimizer is not None:
        names = {name.casefold(): kind for name, kind in OPTIMIZERS.items()}
        chosen = _chosen("--optimizer", options.optimizer.casefold(), list(OPTIMIZERS))
        request = replace(request, optimizer=names[chosen])
    changes = [SOFTWARE[_chosen("--software", name, list(SOFTWARE))] for name in options.software]
    software = replace(request.software, **dict(chain.from_iterable(change.items() for change in changes)))
    return replace(request, attention=_attention(request, shape, options), software=software)


def _require_arithmetic(
    resolved: Resolved, request: PlanRequest, options: FitOptions, *, card: CardSpec
) -> None:
    if request.precision != "bf16":
        return
    key = f"training.bf16 ({resolved.origins['training.bf16']})"
    lacking = lacks_bf16(card, asked=key if options.precision is None else "--bf16")
    if lacking:
        raise UserError(lacking)


def _attention(request: PlanRequest, shape: PreTrainedConfig, options: FitOptions) -> Attention:
    from trainer.model.build import has_efficient_attention

    if options.attention is None:
        return request.attention if has_efficient_attention(shape) else "eager"
    _chosen("--attention", options.attention, get_args(Attention))
    if options.attention == "eager":
        return "eager"
    if not has_efficient_attention(shape):
        raise UserError(f"--attention sdpa: {shape.model_type} has only its own attention; use eager")
    return "sdpa"


def _ways(config: Config, shape: PreTrainedConfig, options: FitOptions) -> tuple[Way, ...]:
    from trainer.model.build import can_checkpoint, require_checkpointing

    asked = options.checkpointing
    if asked is not None:
        _chosen("--checkpointing", asked, [*CHECKPOINTING, "auto"])
    auto = {None: config.optimization.gradient_checkpointing, "auto": PLAIN.checkpointing}
    first = auto[asked] if asked in auto else CHECKPOINTING[str(asked)]
    require_checkpointing(shape, first)
    return ways_of(first) if asked in auto and can_checkpoint(shape) else ways_of(first)[:1]


def _rescue(ways: Sequence[Way], request: PlanRequest, options: FitOptions) -> Way | None:
    """What is tried where nothing else fits: the optimizer's state in host memory; not against a flag."""
    if request.optimizer not in IN_HOST_MEMORY or options.checkpointing not in (None, "auto"):
        return None
    return replace(ways[-1], offload=True)


def _lengths(resolved: Resolved, shape: PreTrainedConfig, options: FitOptions) -> tuple[int, ...]:
    model = resolved.config.model
    positions = longest_text(shape) or MOST
    if options.lengths is not None:
        _in_range("--seq", options.lengths, most=MOST)
        if too_long := [length for length in options.lengths if length > positions]:
            raise UserError(f"--seq {too_long[0]}: {model.name} has only {positions} positions")
        return tuple(dict.fromkeys(options.lengths))
    own = [model.max_sequence_length] if asks_for(resolved, "model.max_sequence_length") else []
    if own and own[0] > positions:
        text = f"model.max_sequence_length is {own[0]}, but {model.name} has only {positions} positions"
        raise ConfigError([Problem(None, text)])
    usual = [length for length in LENGTHS if length <= positions] or [positions]
    return tuple(sorted({*usual, *own}))


def _batches(resolved: Resolved, options: FitOptions) -> tuple[int, ...]:
    if options.batches is not None:
        _in_range("--batch", options.batches, most=MOST)
        return tuple(dict.fromkeys(options.batches))
    own = [resolved.config.micro_batch_size] if asks_for(resolved, *BATCH_KEYS) else []
    return tuple(sorted({*BATCHES, *own}))


def _accumulates_below(resolved: Resolved, options: FitOptions) -> int:
    steps = options.steps_accumulated
    if steps is not None:
        _in_range("--steps-accumulated", [steps], most=MOST)
        return ALWAYS if steps > 1 else NEVER
    return resolved.config.effective_batch_size if asks_for(resolved, *BATCH_KEYS) else NEVER


def _calibration(config: Config, card: CardSpec, request: PlanRequest) -> float:
    return _measured(config).factor(_key(card, request))


def _calibrated(config: Config, question: FitQuestion) -> str:
    card, request, factor = question.card, question.request, question.calibration
    if not _measured(config).knows(_key(card, request)):
        return f"calibration: none yet, no {request.precision} runs on {card.name} were measured"
    if factor == 1:
        return f"calibration: 1.00, {request.precision} runs on {card.name} took no more than was planned"
    return (
        f"calibration: {factor:.2f}, {request.precision} runs on {card.name} took up to that share of their "
        "plan; the need is raised by it"
    )


def _measured(config: Config) -> Calibration:
    return Calibration(plans_cache(config) / "calibration.json")


def _key(card: CardSpec, request: PlanRequest) -> str:
    return calibration_key(device="cuda", card=card.name, precision=request.precision)


def _in_range(flag: str, sizes: Sequence[int], *, most: int) -> None:
    if not sizes:
        raise UserError(f"{flag}: give at least one number")
    if wrong := [size for size in sizes if not 1 <= size <= most]:
        raise UserError(f"{flag} {wrong[0]}: give a whole number from 1 to {most}")


def _chosen(flag: str, word: str, known: Sequence[str]) -> str:
    if word not in {name.casefold() for name in known}:
        near = closest(word, known)
        meant = f"; did you mean {near}?" if near else ""
        raise UserError(f"{flag}: {word!r} is none of {', '.join(known)}{meant}")
    return word


def _notes(config: Config, question: FitQuestion) -> Iterator[str]:
    """What the plan takes for granted, a line each."""
    card, below = question.card, question.accumulates_below
    yield "planned from the training step, not measured on a GPU"
    if card.reserved_bytes:
        source = "assumed; --context says what it is" if card.assumed else "as it was measured or given"
        yield f"CUDA context: {card.reserved_bytes / MIB:.0f} MiB, {source}"
    yield f"margin: {MARGIN:.0%} of the reserve, at least {MIN_MARGIN_BYTES // MIB} MiB, must stay free"
    if below == NEVER:
        yield "one micro-batch per optimizer step; --steps-accumulated 2 plans accumulation"
    elif below == ALWAYS:
        yield "several micro-batches per optimizer step: gradients stay alive"
    else:
        yield f"effective batch {below}: smaller micro-batches accumulate, and gradients stay alive"
    yield _calibrated(config, question)
    if card.total_bytes <= SMALL_CARD_BYTES and not config.training.auto_batch_size:
        yield (
            f"on a card of this size training takes micro-batches of at most {SMALL_CARD_MICRO_BATCH}, "
            "unless training.auto_batch_size is on"
        )
    if question.request.optimizer in TRAINING_ROWS or config.training.trained_layers is not None:
        yield ("the vocabulary is planned whole; a run holds and plans only rows of tokens that its data has")
    if is_builtin(config.model.name):
        yield f"{config.model.name} with the largest vocabulary it may take from the training texts"
