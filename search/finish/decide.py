"""The decision rule of the retrained model, fitted on validation rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search.finish.place import FinishPlace, Part, made
from search.finish.record import key_of
from search.finish.retrain import Recipe
from trainer import Config, Observer, Report, Rule, Ruled, dump_config

if TYPE_CHECKING:
    from trainer import CardSpec


@dataclass(frozen=True)
class RuleJob:
    """Fit the rule of the run in `run_directory` on its validation rows."""

    directory: str
    run_directory: str
    path: str
    seed: int
    card: CardSpec | None = None

    def run(self, observer: Observer, report: Report) -> Rule:
        """Do it."""
        from trainer import Site, appraise_rule

        return appraise_rule(
            Path(self.run_directory),
            path=Path(self.path),
            seed=self.seed,
            site=Site(self.card, say=observer.say),
        )


def decide(recipe: Recipe, *, run: Path, name: str, wanted: bool, place: FinishPlace) -> Ruled:
    """The run with its rule; the plain argmax where none is wanted or no validation rows are left.

    Raises:
        Stopped, UserError, PartFailed: as `made`.
    """
    if not wanted or not recipe.has_validation:
        return Ruled(str(run))
    rule = made(
        Part(
            run.parent / f"{name}.json", _key(recipe.config), "Fitting the decision rule on validation rows"
        ),
        Rule,
        lambda directory: RuleJob(
            directory,
            str(run),
            str(recipe.config.data.val_path),
            recipe.config.experiment.seed,
            place.card,
        ),
        place=place,
    )
    return Ruled(str(run), rule)


def lines(rule: Rule | None) -> list[str]:
    """What a person should know of it."""
    tasks = [] if rule is None else rule.tasks
    return [f"Rule of {task.task}: {reason}" for task in tasks for reason in task.reason.split("; ")]


def _key(config: Config) -> str:
    return key_of({"config": dump_config(config)})
