"""What a checkpoint belongs to: configuration and data of its run, and what of them may change on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.config.schema import Config
from trainer.config.wording import show
from trainer.data.content import fingerprint
from trainer.schedule import rate_factors, total_steps

if TYPE_CHECKING:
    from trainer.data.splits import RowSet

#: key path -> (value of the checkpoint, value now)
Changes = dict[str, tuple[Any, Any]]

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
    "callbacks": {"tensorboard_log_dir", "loggers", "monitor_gpu_memory"},
    # How an effective batch is cut up and where its step is made; its size counts (`identity_of`).
    "training": {
        *("batch_size", "gradient_accumulation_steps", "effective_batch_size", "auto_batch_size"),
    },
    "optimization": {"gradient_checkpointing", "cpu_offload"},
}

#: what may change on the way, from the next step on: nothing that a checkpoint holds depends on it
_CHANGEABLE = frozenset(
    {
        *("callbacks.early_stopping_patience", "callbacks.save_top_k", "callbacks.custom"),
        *("model.dropout_rate", "optimization.max_grad_norm", "optimization.memory_efficient_attention"),
        *("training.fp16", "training.bf16"),
    }
)
_EPOCHS = "training.num_epochs"


def identity_of(config: Config, rows: RowSet, *, parent: Path | None = None) -> str:
    """Everything a continuation must share with its checkpoint, as JSON; parent: whose weights it took."""
    settings = config.model_dump(mode="json")
    settings["training"]["examples per step"] = config.effective_batch_size
    for section, keys in _CIRCUMSTANCES.items():
        for key in keys:
            settings[section].pop(key)
    prints = {name: fingerprint(getattr(rows, name).table.path) for name in ("train", "val")}
    if parent is not None:
        prints["earlier stage's"] = fingerprint(parent / "final_model.pt")
    return json.dumps({"config": settings, "data": prints}, sort_keys=True)


def changes_between(before: str, after: str) -> Changes:
    """All that differs between two identities; of data only that it does."""
    old, new = json.loads(before), json.loads(after)
    then, now = _flat(old["config"]), _flat(new["config"])
    found: Changes = {path: (then.get(path), value) for path, value in now.items() if then.get(path) != value}
    prints = new["data"].items()
    return found | {f"the {name} data": ("", "") for name, value in prints if old["data"].get(name) != value}


def breaking(changes: Changes, config: Config, *, steps: int, train_rows: int) -> Changes:
    """Those of `changes` after which a run of `steps` steps so far would be neither the old nor a new one."""
    return {
        path: values
        for path, values in changes.items()
        if path not in _CHANGEABLE
        if path != _EPOCHS or not _same_rates(config, values[0], steps, train_rows)
    }


def change(path: str, values: tuple[Any, Any]) -> str:
    """`training.learning_rate (was 0.1, is 0.5)`."""
    return path if values == ("", "") else f"{path} (was {show(values[0])}, is {show(values[1])})"


def why_broken(changes: Changes) -> str:
    """What to say of changes that are not self-evident; empty: nothing."""
    if _EPOCHS not in changes:
        return ""
    return (
        " The learning rate follows from the length of the whole run, so the steps done are not those of a "
        "run of another length (with lr_scheduler: constant and warmup_ratio: 0 they would be)."
    )


def _same_rates(config: Config, epochs: int, steps: int, rows: int) -> bool:
    """Whether a run of this many `epochs` had the rates of `config`'s at every step done so far."""
    training = config.training.model_copy(update={"num_epochs": epochs})
    old = config.model_copy(update={"training": training})
    if steps > total_steps(config, rows=rows):
        return False
    then, now = (rate_factors(each.training, total=total_steps(each, rows=rows)) for each in (old, config))
    return all(then(step) == now(step) for step in range(steps))


def _flat(config: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {f"{section}.{key}": value for section, keys in config.items() for key, value in keys.items()}
