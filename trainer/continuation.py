"""Going on with a run: the checkpoint to start from, and whether it belongs to this configuration."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.checkpoint import Progress, find_last, load_progress, require_state
from trainer.config.schema import Config
from trainer.data.content import fingerprint
from trainer.errors import ConfigError, Problem, UserError

if TYPE_CHECKING:
    from trainer.data.splits import RowSet

#: what does not change a result, and so may differ between a checkpoint and the run that resumes it
_CIRCUMSTANCES = {
    "experiment": {
        *("name", "output_dir", "log_level", "resume_from_checkpoint", "checkpoint_interval_s"),
        *("save_final_model", "save_predictions"),
    },
    "data": {
        *("train_path", "val_path", "test_path"),  # their content counts, by its fingerprint
        *("cache_dir", "num_workers", "pin_memory", "prefetch_factor"),
    },
    "callbacks": {"tensorboard_log_dir", "monitor_gpu_memory"},
    # How an effective batch is cut up and where its step is made; its size counts (`identity_of`).
    "training": {
        *("batch_size", "gradient_accumulation_steps", "effective_batch_size", "auto_batch_size"),
    },
    "optimization": {"gradient_checkpointing", "cpu_offload"},
}


@dataclass(frozen=True)
class Continuation:
    """A checkpoint that this run goes on from, and where it stood."""

    checkpoint: Path
    progress: Progress

    def bring(self, checkpoints: Path) -> None:
        """Copy the best checkpoints into a run that goes on elsewhere than it began."""
        source = self.checkpoint.parent
        if source.resolve() == checkpoints.resolve():
            return
        for name in self.progress.kept:
            shutil.rmtree(checkpoints / name, ignore_errors=True)
            shutil.copytree(source / name, checkpoints / name)


def find_continuation(config: Config, *, identity: str, checkpoints: Path) -> Continuation | None:
    """The run's own last checkpoint if it has one, else `experiment.resume_from_checkpoint`.

    Raises:
        ConfigError: the checkpoint was made with another configuration or other data.
        UserError: it cannot be resumed.
    """
    asked = config.experiment.resume_from_checkpoint
    checkpoint = find_last(checkpoints) or (_named(Path(asked)) if asked else None)
    if checkpoint is None:
        return None
    progress = load_progress(checkpoint)
    require_state(checkpoint)
    if progress.identity != identity:
        raise ConfigError([Problem(None, _differs(checkpoint, progress.identity, identity))])
    _require_kept(checkpoint, progress)
    return Continuation(checkpoint, progress)


def identity_of(config: Config, rows: RowSet) -> str:
    """Everything a continuation must share with its checkpoint, as JSON."""
    settings = config.model_dump(mode="json")
    settings["training"]["examples per step"] = config.effective_batch_size
    for section, keys in _CIRCUMSTANCES.items():
        for key in keys:
            settings[section].pop(key)
    prints = {name: fingerprint(getattr(rows, name).table.path) for name in ("train", "val")}
    return json.dumps({"config": settings, "data": prints}, sort_keys=True)


def _named(path: Path) -> Path:
    """A checkpoint directory, or the last checkpoint of an experiment directory."""
    return find_last(path / "checkpoints") or path


def _require_kept(checkpoint: Path, progress: Progress) -> None:
    missing = [name for name in progress.kept if not (checkpoint.parent / name).is_dir()]
    if missing:
        raise UserError(
            f"{checkpoint} cannot be resumed: the best checkpoints {', '.join(missing)} belong beside it and "
            "are not there; put them back, or start a new run"
        )


def _differs(checkpoint: Path, old: str, new: str) -> str:
    before, after = json.loads(old or '{"config": {}, "data": {}}'), json.loads(new)
    keys = sorted(
        f"{section}.{key}"
        for section in after["config"]
        for key in after["config"][section]
        if before["config"].get(section, {}).get(key) != after["config"][section][key]
    )
    keys += [f"the {name} data" for name in after["data"] if before["data"].get(name) != after["data"][name]]
    return (
        f"{checkpoint} was made with another configuration; different are: {', '.join(keys)}. "
        "Put these back, or start a new run in another directory, without --resume-from-checkpoint"
    )
