"""The directory of one run and what is written there."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trainer.checkout import Checkout, checkout_of
from trainer.config.loader import dump_config
from trainer.config.schema import Config
from trainer.errors import UserError
from trainer.files import sweep, write_json, write_text
from trainer.loggers import LoggedRun, Loggers, open_loggers

#: packages whose version a result depends on
_PACKAGES = ("cp-search", "torch", "transformers", "tokenizers", "numpy")


@dataclass(frozen=True)
class Experiment:
    """`directory` with config.yaml, config.json, checkpoints/, tensorboard/, metrics.json,
    training_summary.json, run.log and final_model.pt.

    checkout: the git checkout that the run is started in.
    """

    directory: Path
    config: Config
    checkout: Checkout | None = field(default_factory=lambda: checkout_of(Path.cwd()))

    @property
    def checkpoints(self) -> Path:
        """Parent of the checkpoints."""
        return self.directory / "checkpoints"

    @property
    def final_model(self) -> Path:
        """Weights of the best evaluation, as a `state_dict`."""
        return self.directory / "final_model.pt"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer, as written by save_pretrained."""
        return self.directory / "tokenizer"

    def begin(self) -> None:
        """Make the directories and write the configuration.

        Raises:
            UserError: the place cannot be written.
        """
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot write to {self.directory}: {error.strerror}; choose another place"
            ) from error
        sweep(self.directory)
        sweep(self.checkpoints)
        write_text(self.directory / "config.yaml", dump_config(self.config))
        write_json(self.directory / "config.json", self.config.model_dump(mode="json"))

    def write_history(self, history: list[dict[str, float]]) -> None:
        """All evaluations so far, one object each, to metrics.json."""
        write_json(self.directory / "metrics.json", history)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Everything a person asks afterwards, to training_summary.json."""
        git = asdict(self.checkout) if self.checkout else None
        write_json(self.directory / "training_summary.json", {**summary, "git": git, "versions": versions()})

    @property
    def log(self) -> Path:
        """What the run said."""
        return self.directory / "run.log"

    def loggers(self, *, from_step: int, measures: Sequence[str] = ()) -> AbstractContextManager[Loggers]:
        """What `callbacks.loggers` names, open inside; imports their packages on use."""
        return open_loggers(LoggedRun(self.config, self.directory, from_step, measures))


def new_directory(config: Config, *, now: datetime) -> Path:
    """`output_dir/<name>_<YYYYMMDD_HHMMSS>`; an empty name is made up from the model's."""
    name = config.experiment.name or Path(config.model.name.replace(":", "-")).name
    safe = re.sub(r"[^\w.-]+", "-", name).strip("-") or "run"
    parent = Path(config.experiment.output_dir)
    base = parent / f"{safe}_{now:%Y%m%d_%H%M%S}"
    taken = 2
    directory = base
    while directory.exists():
        directory = base.with_name(f"{base.name}-{taken}")
        taken += 1
    return directory


def load_run_config(directory: Path) -> Config:
    """The configuration a run was made with.

    Raises:
        UserError: `directory` is no experiment directory.
    """
    try:
        return Config.model_validate(json.loads((directory / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(f"{directory} is no experiment directory: {error}") from error


def versions() -> dict[str, str]:
    """Versions a result depends on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
