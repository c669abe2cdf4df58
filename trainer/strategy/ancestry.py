"""The earlier stages of a run: an experiment directory each, under `stages/`, complete or not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trainer.config.schema import Config
from trainer.errors import ConfigError, Problem
from trainer.experiment import Experiment
from trainer.files import write_json
from trainer.identity import changes_between, identity_of
from trainer.outcome import Observer, Outcome
from trainer.preparation import Preparation, prepare
from trainer.strategy.inheritance import WEIGHTS
from trainer.strategy.stages import Stage

STAGES = "stages"
_DONE = "stage.json"


@dataclass(frozen=True)
class Ancestry:
    """What the last stage begins with. parent: the run whose best weights it takes; None: the model's own.

    records: of each earlier stage, for `training_summary.json`. ended: the outcome of a stage that did not
    complete, which is the whole run's.
    """

    parent: Path | None = None
    records: tuple[dict[str, Any], ...] = ()
    ended: Outcome | None = None

    @property
    def seconds(self) -> float:
        """Time spent before the last stage."""
        return float(sum(record["seconds"] for record in self.records))


#: train(preparation, directory, ancestry): one stage
Train = Callable[[Preparation, Path, Ancestry], Outcome]


def run_in_stages(
    stages: Sequence[Stage], last: Preparation, *, home: Path, observer: Observer, train: tuple[Train, Train]
) -> Outcome:
    """Take a run in `home` through its earlier `stages` and the `last` one, whose outcome is the run's.

    train: how to train an earlier stage, and the last one. Stages that are done are not done again.

    Raises:
        ConfigError: a stage was done with another configuration or other data.
    """
    if _bring_stages(home, asked=last.config.experiment.resume_from_checkpoint):
        last = replace(last, config=_from_the_beginning(last.config))
    Experiment(home, last.config).begin()
    ancestry = _run_earlier(stages, home=home, observer=observer, train=train[0])
    if ancestry.ended is not None:
        return ancestry.ended
    outcome = train[1](last, home, ancestry)
    if outcome.status == "completed":
        _drop_weights(home)
    return replace(outcome, seconds=outcome.seconds + ancestry.seconds)


def _run_earlier(stages: Sequence[Stage], *, home: Path, observer: Observer, train: Train) -> Ancestry:
    found = Ancestry()
    for number, stage in enumerate(stages, start=1):
        directory = home / STAGES / str(number)
        ready = prepare(stage.config)
        identity = identity_of(stage.config, ready.rows, parent=found.parent)
        outcome = _done(directory, identity)
        if outcome is None:
            observer.say(f"Stage {number} of {len(stages) + 1}: {stage.title}")
            outcome = train(ready, directory, found)
            if outcome.status != "completed":
                return replace(found, ended=replace(outcome, directory=str(home)))
            write_json(directory / _DONE, {"identity": identity, "outcome": asdict(outcome)})
        record = {"stage": number, "title": stage.title, "directory": f"{STAGES}/{number}"}
        measured = {"best_metrics": outcome.best_metrics, "steps": outcome.steps, "seconds": outcome.seconds}
        found = Ancestry(directory, (*found.records, {**record, **measured}))
    number = len(stages) + 1
    observer.say(f"Stage {number} of {number}: the run itself, from the best weights of the one before")
    return found


def _bring_stages(home: Path, *, asked: str | None) -> bool:
    """Copy the stages of the run that `asked` (experiment.resume_from_checkpoint) means, if `home` has none.

    Gives whether that run never came to its last stage, so that there is no checkpoint to go on from.
    """
    if asked is None:
        return False
    checkpoint = Path(asked).expanduser()
    for run in (checkpoint, *checkpoint.parents[:2]):
        if (run / STAGES).is_dir():
            if not (home / STAGES).exists():
                shutil.copytree(run / STAGES, home / STAGES)
            return not any((run / "checkpoints").glob("*"))
    return False


def _drop_weights(home: Path) -> None:
    """The last stage is complete: nobody will begin from an earlier one's weights again."""
    for path in (home / STAGES).glob(f"*/{WEIGHTS}"):
        path.unlink()


def _from_the_beginning(config: Config) -> Config:
    experiment = config.experiment.model_copy(update={"resume_from_checkpoint": None})
    return config.model_copy(update={"experiment": experiment})


def _done(directory: Path, identity: str) -> Outcome | None:
    """What came of a stage that is complete and whose weights are there.

    Raises:
        ConfigError: it was another one.
    """
    try:
        found = json.loads((directory / _DONE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not (directory / WEIGHTS).is_file():
        return None
    if changes := changes_between(found["identity"], identity):
        message = (
            f"{directory} was made with another configuration; different are: {', '.join(changes)}. "
            "Put these back, or start a new run in another directory"
        )
        raise ConfigError([Problem(None, message)])
    return Outcome(**found["outcome"])
