"""Members averaged, and kept only where that beats the best of them by more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search.finish.confirmation import Confirmation
from search.finish.decide import decide
from search.finish.ensemble_record import EnsembleRecord, Member
from search.finish.finished import FINAL
from search.finish.place import FinishPlace, Part, made
from search.finish.record import key_of, write_record
from search.finish.retrain import Recipe, recipe, train
from trainer import Observer, Report, Ruled, Together

if TYPE_CHECKING:
    from search.study import StudyHandle
    from trainer import CardSpec


@dataclass(frozen=True)
class TogetherJob:
    """Hold the mean of the members against the best of them on validation rows."""

    directory: str
    members: tuple[Ruled, ...]
    path: str
    card: CardSpec | None = None

    def run(self, observer: Observer, report: Report) -> Together:
        """Do it."""
        from trainer import Site, appraise_together

        return appraise_together(self.members, path=Path(self.path), site=Site(self.card, say=observer.say))


@dataclass(frozen=True)
class Team:
    """What is shipped: one member or several, and the record of how that was decided."""

    members: tuple[Ruled, ...]
    record: EnsembleRecord | None = None


def team(
    first: Ruled,
    handle: StudyHandle,
    *,
    chosen: Recipe,
    confirmation: Confirmation | None,
    place: FinishPlace,
) -> Team:
    """`first` alone, or with the next confirmed candidates where `finish.ensemble` asks and it helps.

    Raises:
        Stopped, UserError, PartFailed: as `train` and `made`.
    """
    wanted = handle.space.finish.ensemble
    others = _others(handle, confirmation, chosen=chosen, place=place)[: wanted - 1] if wanted else []
    if not others:
        return Team((first,))
    names = [f"member-{number:02d}" for number in range(2, len(others) + 2)]
    runs = [(name, other.config) for name, other in zip(names, others, strict=True)]
    train(runs, say=f"Training {len(others)} more for an ensemble of {len(others) + 1}", place=place)
    members = (
        first,
        *(_ruled(other, name, handle, place) for name, other in zip(names, others, strict=True)),
    )
    found = _together(members, str(chosen.config.data.val_path), place)
    decided = _decided(members, found, recipes=[chosen, *others])
    write_record(place.study / FINAL / "ensemble.json", decided.record, key="")
    return decided


def _others(
    handle: StudyHandle, confirmation: Confirmation | None, *, chosen: Recipe, place: FinishPlace
) -> list[Recipe]:
    """Recipes of the other confirmed candidates, best first."""
    candidates = confirmation.candidates if confirmation else []
    numbers = [one.trial for one in candidates if one.trial != chosen.trial and one.mean is not None]
    return [recipe(handle.space, handle.trial(number), place=place) for number in numbers]


def _ruled(other: Recipe, name: str, handle: StudyHandle, place: FinishPlace) -> Ruled:
    run = place.study / FINAL / name
    return decide(other, run=run, name=f"rule-{name}", wanted=handle.space.finish.decide, place=place)


def _together(members: Sequence[Ruled], path: str, place: FinishPlace) -> Together:
    key = key_of({"members": [asdict(member) for member in members], "path": path})
    words = "Holding the ensemble against its best member on validation rows"
    return made(
        Part(place.study / FINAL / "together.json", key, words),
        Together,
        lambda directory: TogetherJob(directory, tuple(members), path, place.card),
        place=place,
    )


def _decided(members: tuple[Ruled, ...], found: Together, *, recipes: Sequence[Recipe]) -> Team:
    kept = found.gain.above_noise
    best = max(range(len(members)), key=lambda index: found.alone[index])
    record = EnsembleRecord(
        members=[
            Member(one.trial, one.config.experiment.seed, member.run_directory, value)
            for one, member, value in zip(recipes, members, found.alone, strict=True)
        ],
        single=found.single,
        together=found.together,
        gain=found.gain,
        kept=kept,
        reason=_reason(found, kept=kept, best=recipes[best].trial),
        planned_bytes=sum(_weights(member) for member in members),
    )
    return Team(members if kept else (members[0],), record)


def _reason(found: Together, *, kept: bool, best: int) -> str:
    verdict = "kept" if kept else "not kept: the gain is within noise"
    return (
        f"{verdict}; on validation rows {found.together.value:.4f} against {found.single.value:.4f} "
        f"of its best member (trial {best}), gain {found.gain}"
    )


def _weights(member: Ruled) -> int:
    """Bytes of a member's weights: what each adds to the memory of predicting."""
    return (Path(member.run_directory) / "final_model.pt").stat().st_size
