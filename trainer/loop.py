"""The loop of one run: steps, evaluations, reports, patience, checkpoints."""

from __future__ import annotations

import math
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from trainer import callbacks as hooks
from trainer.checkpoint import LAST, Progress, load_optimizer, load_state, load_weights, save_checkpoint
from trainer.commentary import Commentary
from trainer.data.batches import effective_batches
from trainer.errors import NonFinite
from trainer.evaluation import Evaluation, Evaluator
from trainer.guarded_step import GuardedStep
from trainer.memory.recovery import (
    LengthBudgets,
    Recovery,
    TokenBudget,
    random_state,
    restore_random_state,
)
from trainer.model.vocabulary import narrowed_state, widened_state
from trainer.selection import Selection

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from trainer.data.splits import Split
    from trainer.journal import Journal
    from trainer.loggers import Loggers
    from trainer.model.classifier import Classifier
    from trainer.outcome import Report
    from trainer.parts import Parts

Ended = Literal["completed", "stopped", "interrupted"]


class Loop:
    """One run over `parts`; `progress` says where it stands and is what a checkpoint keeps."""

    def __init__(self, parts: Parts, *, journal: Journal, report: Report | None) -> None:
        self.parts = parts
        self.config = parts.config
        self.journal = journal
        self.report = report
        self.progress = Progress(precision=parts.step.precision.name)
        self.selection = Selection(parts.config, checkpoints=parts.experiment.checkpoints)
        self.recovery = Recovery(parts.card, say=journal.say)
        events = self.progress.oom_events
        self.guarded = GuardedStep(parts, recovery=self.recovery, events=events)
        full = parts.config.model.max_sequence_length
        budget = TokenBudget(self.budget.tokens, full, events)
        self.evaluator = Evaluator(parts.step, parts.tasks, budget, self.recovery)
        self.commentary = Commentary(parts.config, card=parts.card, journal=journal)
        self._started = time.monotonic()
        self._saved = self._started
        self._rate = 0.0

    @property
    def model(self) -> Classifier:
        """The model being trained."""
        return self.parts.step.model

    @property
    def budget(self) -> LengthBudgets:
        """What micro-batches of training may take."""
        return self.guarded.budget

    @cached_property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass."""
        return len(self._batches(0))

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.steps_per_epoch * self.config.training.num_epochs

    @property
    def best_epoch(self) -> float | None:
        """Passes over the training rows when the best evaluation was made; None: none was."""
        steps = {entry["evaluation"]: entry["step"] for entry in self.progress.history}
        best = self.progress.best_step
        return steps[best] / self.steps_per_epoch if best in steps else None

    def resume(self, checkpoint: Path, progress: Progress) -> None:
        """Continue exactly from `checkpoint`: weights, optimizer, schedule, scaler, random state."""
        load_weights(checkpoint, model=self.model)
        state = load_state(checkpoint)
        step = self.parts.step
        load_optimizer(step.optimizer, narrowed_state(self.model.net, step.optimizer, state["optimizer"]))
        self.parts.schedule.load_state_dict(state["schedule"])
        if state["scaler"]:  # empty where it was not in use: on a CPU, or in another precision
            step.scaler.load_state_dict(state["scaler"])
        restore_random_state(state["random"], self.parts.card.device)
        self.progress = progress
        progress.precision = step.precision.name
        self._started -= progress.seconds
        self.budget.tokens = progress.budget_tokens or self.budget.tokens
        self.budget.lowered = dict(progress.lowered_tokens)
        self.evaluator.budget.tokens = progress.evaluation_tokens or self.evaluator.budget.tokens
        self.budget.events = self.evaluator.budget.events = progress.oom_events
        self.selection.settle(progress)

    def run(self) -> Ended:
        """Train to the end, to a stop, or to an interruption.

        Raises:
            OutOfMemory: the smallest micro-batch does not fit. NonFinite: the loss is not finite.
        """
        self._hook("on_train_begin")
        if self.config.training.auto_batch_size and self.progress.step == 0:
            self.guarded.verify()
        logged = self.parts.experiment.loggers(from_step=self.progress.step, measures=self.parts.measures)
        with logged as loggers:
            ended = self._epochs(loggers)
        self.note_progress()
        self._hook("on_train_end", status=ended)
        return ended

    def save_last(self) -> None:
        """Write the checkpoint from which the run can go on exactly."""
        step = self.parts.step
        self.note_progress()
        state = {
            "optimizer": widened_state(self.model.net, step.optimizer, step.optimizer.state_dict()),
            "schedule": self.parts.schedule.state_dict(),
            "scaler": step.scaler.state_dict(),
            "random": random_state(self.parts.card.device),
        }
        target = self.parts.experiment.checkpoints / LAST
        save_checkpoint(target, model=self.model, progress=self.progress, state=state)
        self.selection.settle(self.progress)
        self._saved = time.monotonic()

    def evaluate(self, split: Split, *, where: str) -> Evaluation:
        """Score `split` under the card's limit, in smaller micro-batches where it must."""
        return self.evaluator.evaluate(split, where=where)

    def _epochs(self, loggers: Loggers) -> Ended:
        first = self.progress.step // self.steps_per_epoch
        for epoch in range(first, self.config.training.num_epochs):
            self._hook("on_epoch_begin", epoch=epoch)
            ended = self._epoch(epoch, loggers)
            if ended:
                return ended
            self._hook("on_epoch_end", epoch=epoch)
        return "completed"

    def _epoch(self, epoch: int, loggers: Loggers) -> Ended | None:
        batches = self._batches(epoch)
        due = self._due()
        for index in range(self.progress.step - epoch * self.steps_per_epoch, len(batches)):
            if self.journal.interrupted():
                self.save_last()
                return "interrupted"
            self._one_step(batches[index])
            if index + 1 in due:
                self.progress.evaluations = (
                    epoch * self.config.training.evaluations_per_epoch + due[index + 1]
                )
                ended = self._evaluation(epoch, loggers)
                if ended:
                    return ended
        return None

    def _one_step(self, rows: NDArray[np.int64]) -> None:
        self.model.train()
        number = self.progress.step + 1
        loss = self.guarded.gradients(rows, where=f"step {number}")
        self._rate = self._peak_rate()
        if not math.isfinite(loss):
            raise NonFinite(f"the loss is {loss} at step {number}, learning rate {self._rate:.3g}")
        self.guarded.update(where=f"the optimizer step {number}")
        self.parts.schedule.step()
        self.progress.step += 1
        self.progress.loss_sum += loss
        self.progress.loss_count += 1
        live = self.commentary.live_line(number, loss=loss, rate=self._rate)
        self.journal.progress(number, self.total_steps, live)
        self._hook("on_step_end", step=number, loss=loss)

    def _evaluation(self, epoch: int, loggers: Loggers) -> Ended | None:
        progress = self.progress
        number = progress.evaluations
        found = self.evaluate(self.parts.val, where=f"evaluation {number}")
        metrics = self._metrics(found)
        self.selection.judge(progress, metrics, scores=found.scores.as_dict())
        self.selection.keep(progress, self.selection.watched(progress, metrics), model=self.model)
        progress.history.append({"evaluation": number, "step": progress.step, "epoch": epoch, **metrics})
        self.parts.experiment.write_history(progress.history)
        loggers.log({**metrics, **self._memory()}, step=progress.step)
        if self.report is None:
            self.commentary.evaluation(metrics, epoch=progress.step / self.steps_per_epoch)
            last = progress.step == self.total_steps
            self.commentary.hint(found.scores, step=progress.step, last=last)
        self._hook("on_evaluate", evaluation=number, metrics=metrics)
        return self._verdict(number, metrics)

    def _verdict(self, number: int, metrics: dict[str, float]) -> Ended | None:
        """Stopped by the report, completed by patience, or None to go on (with a checkpoint if due)."""
        if self.report is not None and self.report(number, metrics):
            return "stopped"
        patience = self.config.callbacks.early_stopping_patience
        if patience is not None and self.progress.stale >= patience:
            self.journal.say(f"No better {self.selection.metric} in {patience} evaluations: stopping early")
            return "completed"
        if time.monotonic() - self._saved >= self.config.experiment.checkpoint_interval_s:
            self.save_last()
        return None

    def _metrics(self, found: Evaluation) -> dict[str, float]:
        progress = self.progress
        metrics = {
            "train_loss": progress.loss_sum / max(1, progress.loss_count),
            "eval_loss": found.loss,
            **found.scores.flat("eval"),
            "learning_rate": self._rate,
        }
        peak = self.parts.card.peak_bytes()
        if peak is not None and self.config.callbacks.monitor_gpu_memory:
            metrics["gpu_memory"] = float(peak)
        progress.loss_sum, progress.loss_count = 0.0, 0
        return metrics

    def _memory(self) -> dict[str, float]:
        """For TensorBoard: peaks in GiB, planned and so far, and how often the card was too small."""
        if self.parts.card.limit_bytes is None:
            return {}
        peaks = {"predicted": self.parts.predicted_bytes, "measured": self.parts.card.peak_bytes()}
        known = {f"memory/{name}_peak_gib": peak / 2**30 for name, peak in peaks.items() if peak is not None}
        return {**known, "memory/oom_halvings": float(len(self.progress.oom_events))}

    def note_progress(self) -> None:
        """Bring time, budgets and peak in `progress` up to date."""
        self.progress.seconds = time.monotonic() - self._started
        self.progress.budget_tokens = self.budget.tokens
        self.progress.lowered_tokens = dict(self.budget.lowered)
        self.progress.evaluation_tokens = self.evaluator.budget.tokens
        peak = self.parts.card.peak_bytes()
        if peak is not None:
            self.progress.peak_bytes = max(peak, self.progress.peak_bytes or 0)

    def _batches(self, epoch: int) -> list[NDArray[np.int64]]:
        return effective_batches(
            len(self.parts.train.labels_NT),
            size=self.config.effective_batch_size,
            seed=self.config.experiment.seed,
            epoch=epoch,
            drop_last=self.config.training.dataloader_drop_last,
        )

    def _due(self) -> dict[int, int]:
        """Step of an epoch (from 1) after which to evaluate -> which of the epoch's equal parts ends there.

        An epoch of fewer steps than parts evaluates once a step; the parts keep their numbers, so that
        an evaluation's number always means the same share of the training.
        """
        parts = self.config.training.evaluations_per_epoch
        return {math.ceil(self.steps_per_epoch * part / parts): part for part in range(1, parts + 1)}

    def _peak_rate(self) -> float:
        return float(max(group["lr"] for group in self.parts.step.optimizer.param_groups))

    def _hook(self, name: str, **kwargs: Any) -> None:
        hooks.call(self.parts.callbacks, name, self, **kwargs)
