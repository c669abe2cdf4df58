"""The one reading of the test rows, and the baseline on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search.finish.finished import FINAL
from search.finish.place import FinishPlace, Part, made
from search.finish.record import key_of
from search.finish.retrain import Recipe
from trainer import Assessment, Comparison, Config, Observer, Report, Ruled, dump_config

if TYPE_CHECKING:
    from trainer import CardSpec

#: below `final/`: the probabilities given on the evaluated rows, for what is compared with them later
ANSWERS = "answers.npz"


@dataclass(frozen=True)
class EvaluateJob:
    """Evaluate a model (several members: their mean) on the rows of `path`; its answers stay at `keep`."""

    directory: str
    members: tuple[Ruled, ...]
    path: str
    keep: str
    card: CardSpec | None = None

    def run(self, observer: Observer, report: Report) -> Assessment:
        """Do it."""
        from trainer import Site, appraise_answers, judge_rows, keep_answers

        judged = judge_rows(self.members, path=Path(self.path), site=Site(self.card, say=observer.say))
        keep_answers(Path(self.keep), judged.answers)
        return appraise_answers(judged)


@dataclass(frozen=True)
class BaselineJob:
    """Fit the baseline on the rows of `config` and hold it against the answers at `answers`."""

    directory: str
    config: Config
    answers: str
    chosen_on_val: bool

    def run(self, observer: Observer, report: Report) -> Comparison:
        """Do it."""
        from trainer import appraise_baseline, kept_answers

        ours = kept_answers(Path(self.answers))
        return appraise_baseline(self.config, ours, chosen_on_val=self.chosen_on_val)


def evaluate(members: Sequence[Ruled], *, test_path: str, place: FinishPlace) -> Assessment:
    """Scores of the model on the test rows.

    Raises:
        Stopped, UserError, PartFailed: as `made`.
    """
    home = place.study / FINAL
    words = "Evaluating once on the test rows"
    part = Part(home / "evaluation.json", key_of(_parts(members, test_path)), words)
    return made(
        part,
        Assessment,
        lambda directory: EvaluateJob(directory, tuple(members), test_path, str(home / ANSWERS), place.card),
        place=place,
    )


def compare(recipe: Recipe, members: Sequence[Ruled], *, test_path: str, place: FinishPlace) -> Comparison:
    """The baseline on the recipe's own rows, beside the evaluated answers.

    Raises:
        Stopped, UserError, PartFailed: as `made`.
    """
    home = place.study / FINAL
    data = recipe.config.data.model_copy(update={"test_path": test_path})
    config = recipe.config.model_copy(update={"data": data})
    parts = {**_parts(members, test_path), "config": dump_config(config)}
    words = "Fitting the TF-IDF + logistic regression baseline on the same rows"
    part = Part(home / "baseline.json", key_of(parts), words)
    return made(
        part,
        Comparison,
        lambda directory: BaselineJob(directory, config, str(home / ANSWERS), recipe.has_validation),
        place=place,
    )


def _parts(members: Sequence[Ruled], path: str) -> dict[str, object]:
    return {"members": [asdict(member) for member in members], "path": path}
