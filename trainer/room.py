"""Whether configurations have room on a card: planned, with nothing trained and no weights read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, get_args

from trainer.data.splits import RowSet, read_rows
from trainer.errors import ModelError
from trainer.journal import tokenising
from trainer.layout import Layout, held_rows, holds_rows, laid_out, spec_of
from trainer.memory.card import show_size
from trainer.memory.fitting import Shape, Verdict
from trainer.memory.request import encoder_json
from trainer.model.source import is_builtin
from trainer.strategy.stages import earlier_stages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from trainer.config.schema import Config
    from trainer.layout import Told
    from trainer.memory.card import CardSpec
    from trainer.outcome import Observer

MIB = 2**20


@dataclass(frozen=True)
class Room:
    """How a configuration would lie on a card.

    verdict: fits; tight (worth trying); no. predicted_bytes: planned peak of tensors. needed_bytes: what the
    card must have, margin included. measures: what the card would change to make it fit, for a person.
    """

    verdict: Verdict
    predicted_bytes: int
    needed_bytes: int
    limit_bytes: int
    measures: tuple[str, ...] = ()

    @property
    def over_bytes(self) -> int:
        """By how much the limit is passed; not above 0: it is not."""
        return self.needed_bytes - self.limit_bytes

    @property
    def shortfall(self) -> str:
        """`needs 5.10 GiB, 1474 MiB more than the 3.66 GiB there are`."""
        more = f"{self.over_bytes / MIB:.1f} MiB more than the {show_size(self.limit_bytes)} there are"
        return f"needs {show_size(self.needed_bytes)}, {more}"


def plan_rooms(
    configs: Sequence[Config], *, card: CardSpec | None, observer: Observer | None = None
) -> Iterator[Room]:
    """The room of each of `configs`, in turn; traces a training step unless its plan is cached.

    Of a run in stages it is the most that any of them needs: other rows may have more tokens.
    observer: told how far many texts are tokenised, where that was not done before.

    A card that is not virtual is planned as CUDA would use it, here or not; where it is here, with no more
    memory than the device has. None: the device that is here.

    Raises:
        UserError: data or model of a configuration cannot be used.
    """
    # Imports torch: a `Room` is looked at where none is wanted; only making one needs it.
    from trainer.memory.context import device_for

    spec = spec_of(card, device_for(card)) or card
    if spec is None:
        raise ValueError("no card is named and there is no CUDA device")
    shapes = Shapes(told=partial(tokenising, observer) if observer else None)
    for config in configs:
        stages = [*(stage.config for stage in earlier_stages(config)), config]
        rooms = [room_of(laid_out(one, shape=shapes.shape(one), spec=spec), spec) for one in stages]
        yield _in_all(rooms)


def _in_all(stages: Sequence[Room]) -> Room:
    """The room of a run from those of its stages: the worst verdict, the most bytes, all measures."""
    return replace(
        max(stages, key=lambda room: room.needed_bytes),
        verdict=max((room.verdict for room in stages), key=get_args(Verdict).index),
        measures=tuple(dict.fromkeys(measure for room in stages for measure in room.measures)),
    )


def room_of(layout: Layout, spec: CardSpec) -> Room:
    """What a layout on `spec` comes to."""
    fitting = layout.fitting
    if fitting is None:  # cannot be planned: worth trying
        return Room("tight", 0, 0, spec.limit_bytes, layout.notes)
    return Room(
        verdict=fitting.verdict,
        predicted_bytes=fitting.predicted_bytes,
        needed_bytes=fitting.needed_bytes,
        limit_bytes=fitting.limit_bytes,
        measures=layout.notes,
    )


class Shapes:
    """Shapes of models, reading each file of rows and each vocabulary once.

    told: as `lay_out`'s.
    """

    def __init__(self, *, told: Told | None = None) -> None:
        self._told = told
        self._rows: dict[str, RowSet] = {}
        self._tokenizers: dict[str, PreTrainedTokenizerFast | None] = {}
        self._held: dict[tuple[str, str], int | None] = {}

    def shape(self, config: Config) -> Shape:
        """What of the model of `config` decides its memory; reads no weights.

        Raises:
            UserError: its data or its model cannot be used.
        """
        rows = self._rows_of(config)
        # Importing torch takes seconds, for which nobody waits whose rows are not there.
        from trainer.model.build import can_checkpoint, encoder_config, require_checkpointing
        from trainer.model.layers import require_layers

        encoder = encoder_config(
            config.model, tasks=rows.tasks, vocabulary_size=self._vocabulary(config, rows)
        )
        require_checkpointing(encoder, config.optimization.gradient_checkpointing)
        require_layers(encoder, config.training.trained_layers)
        sizes = tuple(len(task.classes) for task in rows.tasks)
        occurring = self._occurring(config, rows, vocabulary=getattr(encoder, "vocab_size", 0))
        return Shape(encoder_json(encoder), sizes, can_checkpoint(encoder), occurring)

    def _rows_of(self, config: Config) -> RowSet:
        key = _rows_key(config)
        if key not in self._rows:
            self._rows[key] = read_rows(config)
        return self._rows[key]

    def _vocabulary(self, config: Config, rows: RowSet) -> int | None:
        """Of a builtin model, which takes it from the training texts; others have theirs in their config."""
        found = self._tokenizer(config, rows) if is_builtin(config.model.name) else None
        return None if found is None else len(found)

    def _occurring(self, config: Config, rows: RowSet, *, vocabulary: int) -> int | None:
        """Rows of the vocabulary that are on the card; None: all of them."""
        if not holds_rows(config):
            return None
        key = (_rows_key(config), config.model.name)
        if key not in self._held:
            self._held[key] = self._counted(config, rows, vocabulary)
        return self._held[key]

    def _counted(self, config: Config, rows: RowSet, vocabulary: int) -> int | None:
        tokenizer = self._tokenizer(config, rows)
        if tokenizer is None or len(tokenizer) > vocabulary:  # what is wrong with it the run says
            return None
        return held_rows(config, rows, tokenizer=tokenizer, vocabulary=vocabulary, told=self._told)

    def _tokenizer(self, config: Config, rows: RowSet) -> PreTrainedTokenizerFast | None:
        from trainer.model.build import load_tokenizer

        name = config.model.name
        key = f"{name} {rows.train.table.path}" if is_builtin(name) else name
        if key not in self._tokenizers:
            try:
                self._tokenizers[key] = load_tokenizer(config.model, texts=rows.train.table.texts)
            except ModelError:  # its weights may be planned all the same
                self._tokenizers[key] = None
        return self._tokenizers[key]


def _rows_key(config: Config) -> str:
    """What decides the rows that `config` reads, and the tasks in them."""
    told_by = {"num_labels", "use_multitask", "tasks", "task_weights"}
    return config.data.model_dump_json() + config.model.model_dump_json(include=told_by)
