"""`run`: one configuration in, one `Outcome` out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from trainer.checkpoint import Progress, drop_resumable, load_weights
from trainer.config.schema import Config
from trainer.continuation import Start, find_start
from trainer.data.content import fingerprint
from trainer.data.findings import UNKNOWN_TOKENS
from trainer.data.splits import Rows, Split, cache_directory, tokenised
from trainer.errors import NonFinite, OutOfMemory
from trainer.experiment import Experiment, new_directory
from trainer.files import write_text, write_whole
from trainer.identity import identity_of
from trainer.journal import Journal, tokenising
from trainer.layout import Layout, lay_out, spec_of
from trainer.loop import Loop, Parts
from trainer.loss import MultiTaskLoss, class_weights
from trainer.memory.card import Card, open_card
from trainer.memory.context import device_for
from trainer.memory.foreign import classified
from trainer.memory.recovery import Recovery
from trainer.model.build import build_model, checkpoint_layers, has_efficient_attention
from trainer.model.classifier import Classifier
from trainer.model.layers import freeze
from trainer.optimizer import build_optimizer, prime
from trainer.outcome import Metrics, Observer, Outcome, Report, Silent, Status
from trainer.predictions import prediction_lines
from trainer.preparation import Preparation, prepare
from trainer.schedule import build_schedule, total_steps
from trainer.site import Site
from trainer.step import TrainStep, precision_for
from trainer.strategy.ancestry import Ancestry, run_in_stages
from trainer.strategy.average import average_runs
from trainer.strategy.inheritance import inherit
from trainer.strategy.stages import earlier_stages
from trainer.unheeded import unheeded_settings

if TYPE_CHECKING:
    from trainer.memory.card import CardSpec


def run(
    config: Config,
    *,
    report: Report | None = None,
    directory: Path | None = None,
    card: CardSpec | None = None,
    observer: Observer | None = None,
) -> Outcome:
    """Train once, as `config` says, in `directory` (None: a new one under experiment.output_dir).

    A directory that holds a checkpoint of the same configuration is continued. `report(step,
    metrics)` is told every evaluation and returns True to stop. `card` None: the CUDA device if
    there is one, else the CPU without a limit.

    Running out of memory with nothing smaller to try, and a loss that is not finite, are
    outcomes (`oom`, `nonfinite`), not exceptions.

    Raises:
        UserError: configuration, data or model cannot be used; nothing was trained or written.
        CallbackFailed: a user callback raised.
    """
    home = directory or new_directory(config, now=datetime.now())
    setting = _Setting(report, card, device_for(card), observer or Silent())
    if config.strategy.ensemble:
        return average_runs(config, home=home, site=Site(card, say=setting.observer.say))
    stages, ready = earlier_stages(config), prepare(config)
    if stages and not setting.layout(ready).hopeless:
        earlier = replace(setting, report=report and _unjudged)
        train = (earlier.train, setting.train)
        return run_in_stages(stages, ready, home=home, observer=setting.observer, train=train)
    return setting.train(ready, home, Ancestry())


def _unjudged(step: int, metrics: Metrics) -> bool:
    """Who judges a run compares its last stage with other runs' last stages."""
    return False


@dataclass(frozen=True)
class _Setting:
    """What a run, or each stage of one, works in. card: the one asked for; present: the one that is here."""

    report: Report | None
    card: CardSpec | None
    present: CardSpec | None
    observer: Observer

    def layout(self, ready: Preparation) -> Layout:
        """`ready` laid on the card."""
        return lay_out(ready, spec=spec_of(self.card, self.present))

    def train(self, ready: Preparation, home: Path, ancestry: Ancestry) -> Outcome:
        """One stage in `home`, from its newest checkpoint there, or from what `ancestry` left."""
        layout = self.layout(ready)
        config = layout.config
        precision_for(config, layout.device)  # a GPU that lacks it is said before anything is written
        experiment = Experiment(home, config)
        start = find_start(
            config,
            identity=identity_of(config, ready.rows, parent=ancestry.parent),
            checkpoints=experiment.checkpoints,
            train_rows=len(ready.rows.train.table),
        )
        experiment.begin()
        level = config.experiment.log_level
        with (
            Journal(experiment.log, level=level, observer=self.observer) as journal,
            open_card(self.card, present=self.present) as opened,
        ):
            # Who takes reports is running many of these, and says it once for all; so does a first stage.
            told = self.report is not None or ancestry.parent is not None
            for line in () if told else unheeded_settings(ready.config, device=layout.device):
                journal.say(line)
            for line in layout.notes:
                journal.say(line)
            making = _Run(experiment, ready, opened, journal, layout=layout)
            making.ancestry = ancestry
            return making.outcome(self.report, start)


class _Run:
    """One run in the making: builds the parts, lets the loop run, writes what is left behind."""

    def __init__(
        self, experiment: Experiment, ready: Preparation, card: Card, journal: Journal, *, layout: Layout
    ) -> None:
        self.layout = layout
        self.experiment = experiment
        self.config = experiment.config
        self.ready = ready
        self.rows = ready.rows
        self.card = card
        self.journal = journal
        self.loop: Loop | None = None
        self.ancestry = Ancestry()

    def outcome(self, report: Report | None, start: Start) -> Outcome:
        """Train and finish; the two faults that end a trial become its status."""
        try:
            try:
                with classified():
                    return self._trained(report, start)
            except torch.OutOfMemoryError as error:  # where recovery has nothing to make smaller
                recovery = Recovery(self.card, say=self.journal.say)
                raise recovery.exhausted("the run", error) from error
        except OutOfMemory as error:
            ended = self._outcome("oom", error=str(error))
            return replace(ended, needed_bytes=error.needed_bytes)
        except NonFinite as error:
            return self._outcome("nonfinite", error=str(error))

    def _trained(self, report: Report | None, start: Start) -> Outcome:
        self._require_room()
        loop = self.loop = self._build(report)
        self._start(loop, start)
        status: Status = loop.run()
        test = self._finish(loop) if status == "completed" else {}
        return self._outcome(status, test=test)

    def _require_room(self) -> None:
        """A plan whose tensors alone pass the card is not worth starting."""
        fitting = self.layout.fitting
        if fitting is None or not self.layout.hopeless:
            return
        needed, limit = fitting.needed_bytes, fitting.limit_bytes
        short = f"{(needed - limit) / 2**20:.0f} MiB more than the {limit / 2**20:.0f} MiB there are"
        message = (
            f"{self.card.name} is too small: even micro-batches of one, with every measure, need {short}"
        )
        raise OutOfMemory(message, needed_bytes=needed, limit_bytes=limit)

    def _build(self, report: Report | None) -> Loop:
        config, rows = self.config, self.rows
        self.ready.tokenizer.save_pretrained(self.experiment.tokenizer)
        train, val = self._tokenised(rows.train), self._tokenised(rows.val)
        if report is None:  # who takes reports is running many of these on the same rows
            self._warn_of_unknown(train)
        step = self._step()
        steps = total_steps(config, rows=len(train.labels_NT))
        schedule = build_schedule(step.optimizer, config.training, total_steps=steps)
        parts = Parts(
            config=config,
            tasks=rows.tasks,
            train=train,
            val=val,
            step=step,
            schedule=schedule,
            card=self.card,
            experiment=self.experiment,
            callbacks=self.ready.callbacks,
            predicted_bytes=self.layout.predicted_bytes,
        )
        return Loop(parts, journal=self.journal, report=report)

    def _warn_of_unknown(self, train: Split) -> None:
        rate = train.tokens.unk_rate
        if rate >= UNKNOWN_TOKENS:
            self.journal.warn(
                f"{rate:.1%} of the training tokens are unknown to {self.config.model.name}, which cannot "
                "tell them apart; cp-search data check names the characters: clean the text, or choose "
                "another model"
            )

    def _start(self, loop: Loop, start: Start) -> None:
        for note in start.notes:
            self.journal.say(note)
        start.settle(self.experiment.checkpoints)
        if start.checkpoint is None:
            loop.progress.identity = start.progress.identity
            loop.selection.settle(loop.progress)  # what a run that cannot be resumed left here
            return
        loop.resume(start.checkpoint, start.progress)
        self.journal.say(f"Going on from {start.checkpoint} at step {start.progress.step}")

    def _step(self) -> TrainStep:
        config = self.config
        torch.manual_seed(config.experiment.seed)
        try:
            with classified():
                model = self._model(len(self.ready.tokenizer))
                optimizer = build_optimizer(model, config, host=self.card.host)
                prime(optimizer)
        except torch.OutOfMemoryError as error:
            recovery = Recovery(self.card, say=self.journal.say)
            raise recovery.exhausted("the model with its gradients and optimizer", error) from error
        precision = precision_for(config, self.card.device.type)
        scaler = torch.amp.GradScaler(self.card.device.type, enabled=precision.dtype == torch.float16)
        return TrainStep(
            model,
            self._loss().to(self.card.device),
            optimizer,
            scaler,
            precision,
            config.optimization.max_grad_norm,
        )

    def _loss(self) -> MultiTaskLoss:
        training, tasks = self.config.training, self.rows.tasks
        weights = class_weights(self.rows.train.labels_NT, tasks=tasks, mode=training.class_weights)
        return MultiTaskLoss(tasks, weights=weights, label_smoothing=training.label_smoothing)

    def _model(self, vocabulary_size: int) -> Classifier:
        model = build_model(
            self.config.model,
            tasks=self.rows.tasks,
            vocabulary_size=vocabulary_size,
            efficient_attention=self.config.optimization.memory_efficient_attention,
        )
        efficient = self.config.optimization.memory_efficient_attention
        if efficient and not has_efficient_attention(model.net.config):
            own = f"is not used: {model.net.config.model_type} has an attention of its own"
            self.journal.say(f"optimization.memory_efficient_attention {own}")
        if self.ancestry.parent is not None:
            fresh = inherit(model, tasks=self.rows.tasks, parent=self.ancestry.parent)
            if fresh:
                self.journal.say(f"New heads, which begin with random weights: {', '.join(fresh)}")
        checkpoint_layers(model.net, self.config.optimization.gradient_checkpointing)
        freeze(model.net, trained_layers=self.config.training.trained_layers)
        if self.card.limit_bytes is None:  # a card's plan is of padded micro-batches
            model.use_packing()
        return self.card.adopt(model)

    def _finish(self, loop: Loop) -> dict[str, Any]:
        """Best weights to final_model.pt; test rows, if any, are scored here and only here."""
        best = loop.selection.best(loop.progress)
        if best is not None:
            load_weights(best, model=loop.model)
        if self.config.experiment.save_final_model:
            state = {name: value.cpu() for name, value in loop.model.net.state_dict().items()}
            write_whole(self.experiment.final_model, lambda path: torch.save(state, path))
        test = self._test(loop)
        if self.config.experiment.save_predictions:
            self._write_predictions(loop)
        self.experiment.write_summary(self._summary(loop, test))
        drop_resumable(self.experiment.checkpoints)
        loop.selection.close(loop.progress)
        return test

    def _test(self, loop: Loop) -> dict[str, Any]:
        if self.rows.test is None:
            return {}
        split = self._tokenised(self.rows.test)
        found = loop.evaluate(split, where="test")
        return {"loss": found.loss, **found.scores.as_dict()}

    def _tokenised(self, rows: Rows) -> Split:
        cache, told = cache_directory(self.config), tokenising(self.journal, rows.table.path.name)
        return tokenised(rows, tokenizer=self.ready.tokenizer, cache_dir=cache, progress=told)

    def _write_predictions(self, loop: Loop) -> None:
        found = loop.evaluate(loop.parts.val, where="predictions")
        lines = prediction_lines(self.rows.val, found.logits_NC, tasks=self.rows.tasks)
        write_text(self.experiment.directory / "predictions.jsonl", "\n".join(lines) + "\n")

    def _summary(self, loop: Loop, test: dict[str, Any]) -> dict[str, Any]:
        progress = loop.progress
        return {
            "status": "completed",
            "steps": progress.step,
            "seconds": progress.seconds,
            "seed": self.config.experiment.seed,
            "learning_rate": self.config.training.learning_rate,
            "best_evaluation": progress.best_step,
            "best_epoch": loop.best_epoch,
            "best_metrics": progress.best_metrics,
            "validation": progress.best_scores,
            "test": test or None,
            "tasks": {task.name: list(task.classes) for task in self.rows.tasks},
            "task_weights": {task.name: task.weight for task in self.rows.tasks},
            "device": str(self.card.device),
            "precision": loop.parts.step.precision.name,
            "predicted_peak_bytes": self.layout.predicted_bytes,
            "peak_bytes": progress.peak_bytes,
            "oom_events": progress.oom_events,
            "scaler_skips": loop.parts.step.skipped,
            "data": self._data(),
            "stages": list(self.ancestry.records),
        }

    def _data(self) -> dict[str, dict[str, Any]]:
        files = {"train": self.rows.train, "val": self.rows.val, "test": self.rows.test}
        return {
            name: {
                "path": str(rows.table.path),
                "rows": len(rows.table),
                "sha256": fingerprint(rows.table.path),
            }
            for name, rows in files.items()
            if rows is not None
        }

    def _outcome(
        self, status: Status, *, test: dict[str, Any] | None = None, error: str | None = None
    ) -> Outcome:
        if error is not None:
            self.journal.fault(error)
        if self.loop:
            self.loop.note_progress()
            line = self.layout.learn(self.loop.progress.peak_bytes)
            if line:
                self.journal.say(line)
        progress = self.loop.progress if self.loop else Progress()
        measures = [event["where"] for event in progress.oom_events]
        paths = {"config": "config.yaml", "metrics": "metrics.json", "checkpoints": "checkpoints"}
        if status == "completed":
            paths["summary"] = "training_summary.json"
        if self.experiment.final_model.exists():
            paths["final_model"] = "final_model.pt"
        return Outcome(
            status=status,
            directory=str(self.experiment.directory),
            best_metrics=progress.best_metrics,
            best_step=progress.best_step,
            steps=progress.step,
            seconds=progress.seconds,
            predicted_peak_bytes=self.layout.predicted_bytes,
            measured_peak_bytes=progress.peak_bytes,
            limit_bytes=self.card.limit_bytes,
            measures=[*self.layout.notes, *(f"smaller micro-batches from {where}" for where in measures)],
            oom_events=progress.oom_events,
            paths=paths,
            test=test or {},
            error=error,
        )
