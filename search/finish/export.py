"""The exported model: written, loaded in a fresh process, and evaluated again there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search.finish.evaluate import ANSWERS
from search.finish.export_record import ExportRecord
from search.finish.finished import FINAL
from search.finish.place import FinishPlace, Part, made
from search.finish.record import key_of
from trainer import CardFacts, Exported, Observer, Reloaded, Report, Ruled

if TYPE_CHECKING:
    from trainer import CardSpec

#: texts of the validation rows on which the reloaded model must agree with the trained one
_CHECKED_TEXTS = 64


@dataclass(frozen=True)
class ExportWork:
    """What an `ExportJob` leaves."""

    directory: str
    difference: float
    checked_texts: int


@dataclass(frozen=True)
class ExportJob:
    """Write the members (one, or an ensemble) to `to` as a model that transformers loads."""

    directory: str
    members: tuple[Ruled, ...]
    to: str
    path: str
    facts: CardFacts
    card: CardSpec | None = None

    def run(self, observer: Observer, report: Report) -> ExportWork:
        """Do it."""
        from trainer import read_table

        texts = read_table(Path(self.path)).texts[:_CHECKED_TEXTS]
        exported = self._exported(texts, observer)
        return ExportWork(str(exported.directory), exported.largest_difference, exported.checked_texts)

    def _exported(self, texts: Sequence[str], observer: Observer) -> Exported:
        from trainer import EnsembleExtras, ExportExtras, Site, export_ensemble, export_model

        runs = [Path(member.run_directory) for member in self.members]
        rules = [member.rule for member in self.members]
        if len(runs) == 1:
            return export_model(
                runs[0], to=Path(self.to), texts=texts, extras=ExportExtras(rules[0], self.facts)
            )
        site = Site(self.card, say=observer.say)
        extras = EnsembleExtras(rules, self.facts)
        return export_ensemble(runs, to=Path(self.to), texts=texts, extras=extras, site=site)


@dataclass(frozen=True)
class ReloadJob:
    """In a process of its own: load the export, and hold it against what was evaluated on `path`."""

    directory: str
    model: str
    path: str
    answers: str
    run_directory: str
    card: CardSpec | None = None

    def run(self, observer: Observer, report: Report) -> Reloaded:
        """Do it."""
        from trainer import Site, kept_answers, require_same

        return require_same(
            Path(self.model),
            path=Path(self.path),
            expected=kept_answers(Path(self.answers)),
            run_directory=Path(self.run_directory),
            site=Site(self.card, say=observer.say),
        )


def export(
    members: Sequence[Ruled], *, facts: CardFacts, val_path: str, test_path: str | None, place: FinishPlace
) -> ExportRecord:
    """The export of the members; without test rows it is not evaluated again, only compared by its logits.

    Raises:
        Stopped, UserError, PartFailed: as `made`.
    """
    home = place.study / FINAL
    key = key_of({"members": [asdict(one) for one in members], "facts": facts.as_dict(), "test": test_path})
    model = home / "model"
    part = Part(home / "exported.json", key, "Exporting")
    part.require(model)
    work = made(
        part,
        ExportWork,
        lambda directory: ExportJob(directory, tuple(members), str(model), val_path, facts, place.card),
        place=place,
    )
    record = ExportRecord(work.directory, work.difference, work.checked_texts)
    return record if test_path is None else _reloaded(record, members[0], test_path, key=key, place=place)


def _reloaded(
    record: ExportRecord, first: Ruled, test_path: str, *, key: str, place: FinishPlace
) -> ExportRecord:
    home = place.study / FINAL
    found = made(
        Part(home / "reloaded.json", key, "Loading the export in a fresh process and evaluating it again"),
        Reloaded,
        lambda directory: ReloadJob(
            directory, record.directory, test_path, str(home / ANSWERS), first.run_directory, place.card
        ),
        place=place,
    )
    return ExportRecord(
        record.directory,
        record.difference,
        record.checked_texts,
        reloaded_rows=found.rows,
        reloaded_f1_macro=found.f1_macro,
        reloaded_differing=found.differing,
    )
