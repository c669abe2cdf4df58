"""Going on with a run: the checkpoint to start from, and whether it belongs to this configuration."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.checkpoint import LAST, Progress, has_state, load_progress, resumable_in
from trainer.config.schema import Config
from trainer.errors import ConfigError, Problem, UserError
from trainer.identity import Changes, breaking, change, changes_between, why_broken
from trainer.seal import damage


@dataclass(frozen=True)
class Start:
    """Where a run begins: at a checkpoint, or (None) at step 0.

    notes: what a person should know: damaged checkpoints that were passed over, changed settings.
    """

    progress: Progress
    checkpoint: Path | None = None
    notes: tuple[str, ...] = ()

    def settle(self, checkpoints: Path) -> None:
        """Bring the best checkpoints into a run that goes on elsewhere; drop its own that are of no use."""
        if self.checkpoint is not None and self.checkpoint.parent.resolve() != checkpoints.resolve():
            for name in self.progress.kept:
                shutil.rmtree(checkpoints / name, ignore_errors=True)
                shutil.copytree(self.checkpoint.parent / name, checkpoints / name)
        for path in resumable_in(checkpoints):
            if path == self.checkpoint:
                return
            shutil.rmtree(path)  # newer, and yet not chosen: damaged


def find_start(config: Config, *, identity: str, checkpoints: Path, train_rows: int) -> Start:
    """The run's own newest checkpoint if it has one, else `experiment.resume_from_checkpoint`'s.

    One that is damaged is passed over for the one before it; a run whose own are all damaged begins anew.

    Raises:
        ConfigError: the checkpoint was made with another configuration or other data, and a run that went
            on from it would be neither the old one nor the new one.
        UserError: the one that was asked for cannot be resumed.
    """
    asked = config.experiment.resume_from_checkpoint
    own = resumable_in(checkpoints)
    faults: list[str] = []
    for checkpoint in own or (_named(Path(asked).expanduser()) if asked else []):
        fault = _fault(checkpoint)
        if fault is None:
            found = _checked(checkpoint, config, identity=identity, train_rows=train_rows)
            return replace(found, notes=(*(f"Warning: {fault}" for fault in faults), *found.notes))
        faults.append(f"{checkpoint} cannot be resumed: {fault}")
    if faults and not own:
        raise UserError(f"{'; '.join(faults)}. Start a new run, without --resume-from-checkpoint")
    if faults:
        faults[-1] += "; starting from the beginning"
    return Start(Progress(identity=identity), notes=tuple(f"Warning: {fault}" for fault in faults))


def _named(path: Path) -> list[Path]:
    """The checkpoints of an experiment directory, or one checkpoint and what stands in for it.

    Raises:
        UserError: there is none.
    """
    inside, beside = resumable_in(path / "checkpoints"), resumable_in(path.parent)
    found = inside or (beside if path.name == LAST else [path] if path.is_dir() else [])
    if found and not (path / "training_summary.json").is_file():
        return found
    raise UserError(f"experiment.resume_from_checkpoint: {_nothing_at(path)}")


def _nothing_at(path: Path) -> str:
    path = path.resolve()
    run = next((place for place in (path, *path.parents[:2]) if (place / "config.json").is_file()), path)
    if (run / "training_summary.json").is_file():
        return f"{run} is complete, there is nothing to go on with; to train longer, start a new run"
    if path.is_file():
        return (
            f"{path} is a file; a run goes on from its directory or its checkpoints/{LAST}, which hold "
            "optimizer and random state beside the weights"
        )
    return f"there is no checkpoint in {path}; name an experiment directory or its checkpoints/{LAST}"


def _fault(checkpoint: Path) -> str | None:
    """Why a run cannot go on from `checkpoint`; None: it can."""
    if broken := damage(checkpoint):
        return broken
    if not has_state(checkpoint):
        return f"it holds weights only; name the directory `{LAST}` beside it"
    kept = [checkpoint.parent / name for name in load_progress(checkpoint).kept]
    if missing := [path.name for path in kept if not path.is_dir()]:
        return f"the best checkpoints {', '.join(missing)} belong beside it and are not there; put them back"
    faults = ((path.name, damage(path)) for path in kept)
    return next((f"of {name} beside it {fault}" for name, fault in faults if fault), None)


def _checked(checkpoint: Path, config: Config, *, identity: str, train_rows: int) -> Start:
    """The start from an undamaged checkpoint, if it is one of this configuration."""
    progress = load_progress(checkpoint)
    changes = changes_between(progress.identity, identity)
    if broken := breaking(changes, config, steps=progress.step, train_rows=train_rows):
        raise ConfigError([Problem(None, _differs(checkpoint, broken))])
    progress.identity = identity
    notes = [f"From step {progress.step + 1} on: {change(path, values)}" for path, values in changes.items()]
    return Start(progress, checkpoint, tuple(notes))


def _differs(checkpoint: Path, changes: Changes) -> str:
    named = ", ".join(change(path, values) for path, values in sorted(changes.items()))
    return (
        f"{checkpoint} was made with another configuration; different are: {named}.{why_broken(changes)} "
        "Put these back, or start a new run in another directory, without --resume-from-checkpoint"
    )
