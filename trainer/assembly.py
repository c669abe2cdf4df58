"""From what a run was given to the parts of its loop: tokens, model, optimizer, schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from trainer.data.splits import Rows, Split, cache_directory, tokenised
from trainer.data.tokens import UNKNOWN_TOKENS
from trainer.files import flush
from trainer.journal import Journal, tokenising
from trainer.loss import MultiTaskLoss, class_weights
from trainer.memory.foreign import classified
from trainer.memory.recovery import Recovery
from trainer.model.build import build_model, checkpoint_layers, has_efficient_attention
from trainer.model.classifier import Classifier
from trainer.model.layers import freeze
from trainer.model.vocabulary import OccurringTokens, train_occurring_tokens
from trainer.optimizer import build_optimizer, by_element, prime
from trainer.parts import Parts
from trainer.processor import multiplies_bf16
from trainer.schedule import build_schedule, total_steps
from trainer.step import TrainStep, precision_for
from trainer.strategy.inheritance import inherit

if TYPE_CHECKING:
    from trainer.experiment import Experiment
    from trainer.layout import Layout
    from trainer.memory.card import Card
    from trainer.preparation import Preparation


@dataclass(frozen=True)
class Assembly:
    """Puts the parts of one run together.

    ready: what was read, before the card changed the configuration; experiment has the one that is trained.
    parent: the run whose best weights are taken over; None: the model's own.
    """

    ready: Preparation
    experiment: Experiment
    card: Card
    journal: Journal
    layout: Layout
    parent: Path | None = None

    def parts(self, *, watched: bool) -> Parts:
        """Everything a loop needs. watched: by a person, who is told of tokens the model does not know.

        Raises:
            OutOfMemory: the model, its gradients and its optimizer do not fit the card.
        """
        config, rows = self.experiment.config, self.ready.rows
        self.ready.tokenizer.save_pretrained(self.experiment.tokenizer)
        flush(self.experiment.tokenizer)
        train, val = self.tokenised(rows.train), self.tokenised(rows.val)
        if watched:
            self._warn_of_unknown(train)
        step = self._step((train, val))
        if watched:
            self._tell_rows(step.model)
        steps = total_steps(config, rows=len(train.labels_NT))
        return Parts(
            config=config,
            tasks=rows.tasks,
            train=train,
            val=val,
            step=step,
            schedule=build_schedule(step.optimizer, config.training, total_steps=steps),
            card=self.card,
            experiment=self.experiment,
            callbacks=self.ready.callbacks,
            predicted_bytes=self.layout.predicted_bytes,
            measures=self.layout.notes,
        )

    def tokenised(self, rows: Rows) -> Split:
        """The tokens of `rows`, from the cache or made now."""
        told = tokenising(self.journal, rows.table.path.name)
        cache = cache_directory(self.experiment.config)
        return tokenised(rows, tokenizer=self.ready.tokenizer, cache_dir=cache, progress=told)

    def _tell_rows(self, model: Classifier) -> None:
        tokens = model.net.get_input_embeddings()
        if self.layout.occurring is not None and isinstance(tokens, OccurringTokens):
            self.journal.say(
                f"{tokens.num_embeddings:,} of the vocabulary's {tokens.vocabulary_size:,} tokens occur; the "
                "rows of the others stay in host memory"
            )

    def _warn_of_unknown(self, train: Split) -> None:
        rate, name = train.tokens.unk_rate, self.experiment.config.model.name
        if rate >= UNKNOWN_TOKENS:
            self.journal.warn(
                f"{rate:.1%} of the training tokens are unknown to {name}, which cannot tell "
                "them apart; cp-search data check names the characters: clean the text, or choose another "
                "model"
            )

    def _step(self, splits: Sequence[Split]) -> TrainStep:
        config, device = self.experiment.config, self.card.device
        torch.manual_seed(config.experiment.seed)
        try:
            with classified():
                model = self._model(splits)
                optimizer = build_optimizer(model, config, host=self.card.host)
                prime(optimizer)
        except torch.OutOfMemoryError as error:
            recovery = Recovery(self.card, say=self.journal.say)
            raise recovery.exhausted("the model with its gradients and optimizer", error) from error
        precision = precision_for(config, device.type, packs=model.packs)
        if self._pads_on_a_fast_cpu(model):
            efficient = config.optimization.memory_efficient_attention
            why = "" if efficient else " without optimization.memory_efficient_attention"
            self.journal.say(
                f"arithmetic is float32: texts of {model.net.config.model_type} are padded on a CPU{why}, "
                "in too many shapes for bfloat16"
            )
        scaler = torch.amp.GradScaler(device.type, enabled=precision.dtype == torch.float16)
        limit = config.optimization.max_grad_norm
        return TrainStep(model, self._loss().to(device), optimizer, scaler, precision, limit)

    def _pads_on_a_fast_cpu(self, model: Classifier) -> bool:
        """Whether bfloat16 was to be had here, had the model taken packs."""
        asked = self.experiment.config.precision != "fp32"
        return asked and self.card.limit_bytes is None and not model.packs and multiplies_bf16()

    def _loss(self) -> MultiTaskLoss:
        training, rows = self.experiment.config.training, self.ready.rows
        weights = class_weights(rows.train.labels_NT, tasks=rows.tasks, mode=training.class_weights)
        return MultiTaskLoss(rows.tasks, weights=weights, label_smoothing=training.label_smoothing)

    def _model(self, splits: Sequence[Split]) -> Classifier:
        # What is made of it may be larger than the card: a vocabulary most of which is never there.
        with self.card.host():
            model = self._built(splits)
        return self.card.adopt(model)

    def _built(self, splits: Sequence[Split]) -> Classifier:
        """The model in host memory."""
        config, tasks = self.experiment.config, self.ready.rows.tasks
        efficient = config.optimization.memory_efficient_attention
        model = build_model(
            config.model,
            tasks=tasks,
            vocabulary_size=len(self.ready.tokenizer),
            efficient_attention=efficient,
        )
        if efficient and not has_efficient_attention(model.net.config):
            own = f"is not used: {model.net.config.model_type} has an attention of its own"
            self.journal.say(f"optimization.memory_efficient_attention {own}")
        if self.parent is not None:
            fresh = inherit(model, tasks=tasks, parent=self.parent)
            if fresh:
                self.journal.say(f"New heads, which begin with random weights: {', '.join(fresh)}")
        checkpoint_layers(model.net, config.optimization.gradient_checkpointing)
        freeze(model.net, trained_layers=config.training.trained_layers)
        if self.card.limit_bytes is None:  # a card's plan is of padded micro-batches
            model.use_packing()
        if self._by_rows():
            train_occurring_tokens(model.net, (split.tokens.occurring() for split in splits))
        return model

    def _by_rows(self) -> bool:
        """Whether the model has only the vocabulary's rows that occur: on a card, where that was planned.

        Elsewhere frozen ones cost nothing, and stay whole.
        """
        if self.card.limit_bytes is not None:
            return self.layout.occurring is not None
        config = self.experiment.config
        return by_element(config) and config.training.trained_layers is None
