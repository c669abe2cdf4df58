"""Where metrics go besides metrics.json: TensorBoard, MLflow, Weights & Biases; never over the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from filelock import FileLock

from trainer.errors import ConfigError, Problem
from trainer.files import write_text

if TYPE_CHECKING:
    from trainer.config.schema import Config

#: logger -> what must be importable for it; an extra of that name has it
_PACKAGES = MappingProxyType({"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"})


class Logger(Protocol):
    """What a run tells its metrics."""

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """The metrics of one evaluation, after `step` optimizer steps."""

    def close(self) -> None:
        """Nothing more will come; what was told is on the disk."""


@dataclass(frozen=True)
class LoggedRun:
    """The run that is logged. from_step: where it goes on; 0: it is new. measures: for it to fit its card."""

    config: Config
    directory: Path
    from_step: int
    measures: Sequence[str] = ()


class TensorBoardLogger:
    """Scalars in tensorboard/ or callbacks.tensorboard_log_dir, and the measures taken as a text.

    What an interrupted run wrote there at `from_step` and later is not shown twice.
    """

    def __init__(self, run: LoggedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        directory = run.config.callbacks.tensorboard_log_dir or str(run.directory / "tensorboard")
        self._writer = SummaryWriter(log_dir=directory, purge_step=run.from_step or None)
        if run.measures:
            self._writer.add_text("memory/measures", "\n\n".join(run.measures), run.from_step)

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """One scalar for each."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


class MlflowLogger:
    """A run in `mlflow.db` (SQLite) beside the run's directory; its parameters are the configuration.

    A run that goes on is the same MLflow run: its id is kept in `mlflow_run_id`.
    """

    def __init__(self, run: LoggedRun) -> None:
        # MLflow counts its uses at home unless told not to, and reads this when it is imported.
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        from mlflow.tracking import MlflowClient

        parent = run.directory.resolve().parent
        # Two runs that begin at once must not both make the tables.
        with FileLock(parent / ".mlflow.lock"):
            self._client = MlflowClient(tracking_uri=f"sqlite:///{(parent / 'mlflow.db').as_posix()}")
            found = self._client.get_experiment_by_name("cp-search")
            place = (parent / "mlflow-artifacts").as_uri()
            experiment = (
                found.experiment_id
                if found
                else self._client.create_experiment("cp-search", artifact_location=place)
            )
        known = run.directory / "mlflow_run_id"
        if run.from_step and known.is_file():
            self._id = known.read_text(encoding="utf-8").strip()
            return
        self._id = self._client.create_run(experiment, run_name=run.directory.name).info.run_id
        for name, value in _settings(run.config).items():
            self._client.log_param(self._id, name, value)
        write_text(known, self._id + "\n")

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """One metric for each."""
        for name, value in metrics.items():
            self._client.log_metric(self._id, name, value, step=step)

    def close(self) -> None:
        """Mark the run as finished."""
        self._client.set_terminated(self._id)


class WandbLogger:
    """An offline run of Weights & Biases under wandb/; `wandb sync` sends it when its owner wants."""

    def __init__(self, run: LoggedRun) -> None:
        import wandb

        self._run = wandb.init(
            project="cp-search",
            name=run.directory.name,
            dir=run.directory,
            config=_settings(run.config),
            mode="offline",
            settings=wandb.Settings(silent=True, console="off"),
        )

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """All of them at one step."""
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        """Write what is left."""
        self._run.finish()


_MAKERS: Mapping[str, Callable[[LoggedRun], Logger]] = MappingProxyType(
    {"tensorboard": TensorBoardLogger, "mlflow": MlflowLogger, "wandb": WandbLogger}
)


@dataclass(frozen=True)
class Loggers:
    """All of a run's loggers as one."""

    each: tuple[Logger, ...]

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Tell every one."""
        for logger in self.each:
            logger.log(metrics, step=step)


@contextmanager
def open_loggers(run: LoggedRun) -> Iterator[Loggers]:
    """The loggers that `callbacks.loggers` names, closed when the block ends, however it ends."""
    with ExitStack() as stack:
        each = []
        for name in run.config.callbacks.loggers:
            logger = _MAKERS[name](run)
            stack.callback(logger.close)
            each.append(logger)
        yield Loggers(tuple(each))


def require_loggers(names: Sequence[str]) -> None:
    """Raise `ConfigError` for every logger whose package is not installed."""
    missing = [name for name in names if find_spec(_PACKAGES[name]) is None]
    if missing:
        raise ConfigError(
            [
                Problem(None, f"callbacks.loggers: {name} is not installed: pip install 'cp-search[{name}]'")
                for name in missing
            ]
        )


def _settings(config: Config) -> dict[str, Any]:
    """`section.key` -> value, as text where it is no plain one."""
    sections = config.model_dump(mode="json")
    return {f"{name}.{key}": value for name, section in sections.items() for key, value in section.items()}
