"""Retraining the winner with the finishing template, on the training rows or on all that may be used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from search.aside import move_aside
from search.engine.base import Call
from search.engine.job import Job
from search.engine.local import await_orphan, read_result
from search.finish.confirm import trial_values
from search.finish.confirmation import Confirmation
from search.finish.finished import FINAL
from search.finish.place import FinishPlace, GivenUp, PartFailed, Stopped
from search.finish.watch import Named
from search.verdict import as_outcome
from trainer import Config, Outcome, UserError, dump_config, join_rows, show_size, write_json

if TYPE_CHECKING:
    from search.space import Space

#: below `final/`, written before anything else: whose model is being made there
_BEGUN = "begun.json"
#: below the study: training and validation rows in one file
_JOINED = "train+val.jsonl"


@dataclass(frozen=True)
class Recipe:
    """What is retrained: the configuration of a trial for the finish.

    epochs_reason: where the number of epochs is from, when not from the template.
    """

    trial: int
    config: Config
    template: str
    retrained_on: str = "train"
    epochs_reason: str = ""

    @property
    def has_validation(self) -> bool:
        """Whether validation rows are left that the model has not seen."""
        return self.retrained_on == "train"


@dataclass(frozen=True)
class Length:
    """How many epochs to train where no rows are left to stop by, and why."""

    epochs: int
    reason: str


def recipe(space: Space, trial: FrozenTrial, *, place: FinishPlace, length: Length | None = None) -> Recipe:
    """The recipe that the space's finish asks for; `length` is needed for train+val alone.

    The run reads its test rows nowhere: those are for the evaluation.
    """
    values = trial_values(space, trial)
    config = _without_test(space.final_config(values))
    template = space.finish.template
    if length is None:
        return Recipe(trial.number, config, template)
    return Recipe(
        trial.number, _on_all(config, place, length), template, space.finish.retrain_on, length.reason
    )


def best_length(confirmation: Confirmation | None, trial: FrozenTrial, *, per_epoch: int) -> Length:
    """The epochs after which the trial's confirming runs were best; without any, the trial itself.

    Raises:
        UserError: neither is known.
    """
    candidates = confirmation.candidates if confirmation else []
    runs = [run for one in candidates if one.trial == trial.number for run in one.runs]
    best = [run.best_epoch for run in runs if run.best_epoch is not None]
    if best:
        epochs = max(1, round(fmean(best)))
        return Length(epochs, f"{epochs}: mean best epoch of {len(best)} confirming runs ({_listed(best)})")
    if not trial.intermediate_values:
        raise UserError(f"trial {trial.number} reported nothing to take a number of epochs from; use train")
    step = max(trial.intermediate_values, key=lambda one: trial.intermediate_values[one])
    epochs = max(1, round(step / per_epoch))
    return Length(epochs, f"{epochs}: best epoch of the trial itself, which was not confirmed")


def begin(recipe: Recipe, place: FinishPlace) -> Path:
    """`final/`, kept to this recipe: what was made there of another is moved aside, not deleted."""
    home = place.study / FINAL
    begun = _begun(home)
    mine = {"trial": recipe.trial, "config": dump_config(recipe.config)}
    if begun is not None and begun != mine:
        move_aside(home, name=f"{FINAL}-of-trial-{begun['trial']:04d}")
    home.mkdir(parents=True, exist_ok=True)
    write_json(home / _BEGUN, mine)
    return home


def train(runs: Sequence[tuple[str, Config]], *, say: str, place: FinishPlace) -> list[Outcome]:
    """Train each (directory below `final/`, configuration) that is not trained yet; their outcomes in order.

    say: what is said before, if any training is begun.

    Raises:
        Stopped: the user asked to end. UserError: a run met what the user can mend. PartFailed: one crashed.
        GivenUp: one died too often.
    """
    homes = [place.study / FINAL / name for name, _ in runs]
    found = {index: done for index, home in enumerate(homes) if (done := _trained(home)) is not None}
    missing = [index for index in range(len(runs)) if index not in found]
    if missing:
        place.require_going_on()
    jobs = place.train_jobs([(runs[index][1], homes[index]) for index in missing])
    calls = [_call(runs[index][0], job, place) for index, job in zip(missing, jobs, strict=True)]
    for index, result in zip(missing, place.see_through(calls, say=say), strict=True):
        found[index] = _sound(as_outcome(result), homes[index], place=place)
    return [found[index] for index in range(len(runs))]


def _call(name: str, job: Job, place: FinishPlace) -> Call:
    watcher = Named("Retraining" if name == "experiment" else f"Training {name}", place.observer)
    return Call(job, watcher, watcher.report)


def _sound(outcome: Outcome | None, home: Path, *, place: FinishPlace) -> Outcome:
    if outcome is None or outcome.status == "interrupted":
        raise Stopped("interrupted")
    if outcome.error_kind == "lost" and place.observer.interrupted():
        raise Stopped("interrupted")
    if outcome.error_kind == "user":
        raise UserError(str(outcome.error))
    if outcome.status != "completed":
        told = f"the retraining in {home} ended as {outcome.status}: {outcome.error}"
        if outcome.error_kind == "lost":
            raise GivenUp(told, directory=home, study=place.study)
        raise PartFailed(told)
    place.observer.say(_peak_line(outcome))
    return outcome


def _trained(home: Path) -> Outcome | None:
    """What the training in `home` came to, if it came to its end."""
    if not (home / "final_model.pt").is_file():
        return None
    await_orphan(home)
    outcome = as_outcome(read_result(home))
    if outcome is None or outcome.status != "completed":
        return None
    return replace(outcome, directory=str(home))  # it was written as seen from where it was trained


def _peak_line(outcome: Outcome) -> str:
    peaks = {"planned": outcome.predicted_peak_bytes, "measured": outcome.measured_peak_bytes}
    known = ", ".join(f"{name} {show_size(peak)}" for name, peak in peaks.items() if peak is not None)
    peak = f"; peak {known}" if known else ""
    return f"Trained: {outcome.steps} steps in {outcome.seconds:.0f} s{peak}"


def _begun(home: Path) -> dict[str, Any] | None:
    """The trial and the configuration of the finish that was begun in `home`, whether or not it ended."""
    try:
        found: dict[str, Any] = json.loads((home / _BEGUN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def _without_test(config: Config) -> Config:
    return config.model_copy(update={"data": config.data.model_copy(update={"test_path": None})})


def _on_all(config: Config, place: FinishPlace, length: Length) -> Config:
    """`config` on training and validation rows together, for `length.epochs`, with the last weights kept."""
    joined = place.study / _JOINED
    join_rows([Path(str(config.data.train_path)), Path(str(config.data.val_path))], out=joined)
    callbacks = {"early_stopping_metric": "evaluation", "early_stopping_patience": None}
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"train_path": str(joined)}),
            "training": config.training.model_copy(update={"num_epochs": length.epochs}),
            "callbacks": config.callbacks.model_copy(update=callbacks),
        }
    )


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
