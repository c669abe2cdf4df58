"""`run`: one configuration in, one `Outcome` out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from trainer.assembly import Assembly
from trainer.checkpoint import Progress, drop_resumable, load_weights, write_tensors
from trainer.config.schema import Config
from trainer.continuation import Start, find_start
from trainer.disk import disk_errors
from trainer.errors import NonFinite, OutOfMemory
from trainer.experiment import Experiment, new_directory
from trainer.files import write_text, write_whole
from trainer.identity import identity_of
from trainer.journal import Journal, tokenising
from trainer.layout import Layout, lay_out, spec_of
from trainer.loop import Loop
from trainer.memory.context import device_for
from trainer.memory.foreign import classified
from trainer.memory.open_card import open_card
from trainer.memory.recovery import Recovery
from trainer.outcome import Metrics, Observer, Outcome, Report, Silent, Status
from trainer.predictions import prediction_lines
from trainer.preparation import Preparation, prepare
from trainer.site import Site
from trainer.strategy.ancestry import Ancestry, run_in_stages
from trainer.strategy.average import average_runs
from trainer.strategy.stages import earlier_stages
from trainer.summary import Result, summary_of
from trainer.unheeded import unexportable_settings, unheeded_settings

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
    with disk_errors(home):
        return _in_stages(config, home, setting)


def _in_stages(config: Config, home: Path, setting: _Setting) -> Outcome:
    """The run, or the stages it is made of, in `home`."""
    if config.strategy.ensemble:
        return average_runs(config, home=home, site=Site(setting.card, say=setting.observer.say))
    stages, ready = earlier_stages(config), prepare(config)
    if stages and not setting.layout(ready).hopeless:
        earlier = replace(setting, report=setting.report and _unjudged)
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
        spec = spec_of(self.card, self.present)
        return lay_out(ready, spec=spec, told=partial(tokenising, self.observer))

    def train(self, ready: Preparation, home: Path, ancestry: Ancestry) -> Outcome:
        """One stage in `home`, from its newest checkpoint there, or from what `ancestry` left."""
        layout = self.layout(ready)
        config = layout.config
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
            odd = [
                *ready.rows.notes,
                *unheeded_settings(ready.config, device=layout.device),
                *unexportable_settings(config),
            ]
            for line in (*(() if told else odd), *layout.notes):
                journal.say(line)
            assembly = Assembly(ready, experiment, opened, journal, layout, ancestry.parent)
            return _Run(assembly, ancestry).outcome(self.report, start)


class _Run:
    """One run in the making: lets the loop run over its parts, and writes what is left behind."""

    def __init__(self, assembly: Assembly, ancestry: Ancestry) -> None:
        self.assembly = assembly
        self.ancestry = ancestry
        self.layout = assembly.layout
        self.experiment = assembly.experiment
        self.config = assembly.experiment.config
        self.rows = assembly.ready.rows
        self.card = assembly.card
        self.journal = assembly.journal
        self.loop: Loop | None = None

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
        # Who takes reports is running many of these on the same rows.
        parts = self.assembly.parts(watched=report is None)
        loop = self.loop = Loop(parts, journal=self.journal, report=report)
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

    def _start(self, loop: Loop, start: Start) -> None:
        for note in start.notes:
            self.journal.say(note)
        start.settle(self.experiment.checkpoints)
        if start.checkpoint is None:
            loop.progress.identity = start.progress.identity
            loop.selection.settle(loop.progress)  # what a run that cannot be resumed left here
            return
        before = start.progress.precision
        loop.resume(start.checkpoint, start.progress)
        self.journal.say(f"Going on from {start.checkpoint} at step {start.progress.step}")
        self._compare_precision(before, loop.progress.precision)

    def _compare_precision(self, before: str, now: str) -> None:
        """Settings are as they were; what they come to depends on the machine."""
        if before and before != now:
            self.journal.warn(
                f"until here it computed in {before}, and on this machine it computes in {now}: "
                "digits are not those of a run on one machine"
            )

    def _finish(self, loop: Loop) -> dict[str, Any]:
        """Best weights to final_model.pt; test rows, if any, are scored here and only here."""
        best = loop.selection.best(loop.progress)
        if best is not None:
            load_weights(best, model=loop.model)
        if self.config.experiment.save_final_model:
            state = {name: value.cpu() for name, value in loop.model.net.state_dict().items()}
            write_whole(self.experiment.final_model, lambda path: write_tensors(path, state))
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
        split = self.assembly.tokenised(self.rows.test)
        found = loop.evaluate(split, where="test")
        return {"loss": found.loss, **found.scores.as_dict()}

    def _write_predictions(self, loop: Loop) -> None:
        found = loop.evaluate(loop.parts.val, where="predictions")
        lines = prediction_lines(self.rows.val, found.logits_NC, tasks=self.rows.tasks)
        write_text(self.experiment.directory / "predictions.jsonl", "\n".join(lines) + "\n")

    def _summary(self, loop: Loop, test: dict[str, Any]) -> dict[str, Any]:
        progress = loop.progress
        measured = progress.best_metrics, progress.best_scores
        result = Result(progress.step, progress.seconds, progress.best_step, *measured, test)
        return summary_of(result, self.rows) | {
            "seed": self.config.experiment.seed,
            "learning_rate": self.config.training.learning_rate,
            "best_epoch": loop.best_epoch,
            "device": str(self.card.device),
            "precision": loop.parts.step.precision.name,
            "predicted_peak_bytes": self.layout.predicted_bytes,
            "peak_bytes": progress.peak_bytes,
            "oom_events": progress.oom_events,
            "scaler_skips": loop.parts.step.skipped,
            "stages": list(self.ancestry.records),
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
        evaluated = {"metrics": "metrics.json"} if progress.history else {}
        paths = {"config": "config.yaml", **evaluated, "checkpoints": "checkpoints"}
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
