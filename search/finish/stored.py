"""Where the parts of a finish lie below the study's directory, and reading them back without torch.

    studies/NAME/confirm/confirmation.json         `Confirmation`
    studies/NAME/confirm/trial-0007-seed-1001/     one confirming run: an experiment directory
    studies/NAME/final/begun.json                  whose model is being made here: {trial, config}
    studies/NAME/final/experiment/                 the retraining: an experiment directory
    studies/NAME/final/member-02/                  further members of an ensemble, the same
    studies/NAME/final/rule.json                   `Rule`; of further members rule-member-02.json and so on
    studies/NAME/final/evaluation.json             `Assessment` of the model on test
    studies/NAME/final/baseline.json               `Comparison`
    studies/NAME/final/ensemble.json               `EnsembleRecord`
    studies/NAME/final/export.json                 `ExportRecord`
    studies/NAME/final/model/                      the exported model
    studies/NAME/final/final.json                  `Final`: the parts above in one, written last
    studies/NAME/final/given-up.json               which part died too often to be begun again

Each JSON is {"made_from": digest, "record": the dataclass}. A part appears as soon as it is done, so a
reader sees the ones there are while a finish still runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from search.finish.confirmation import Confirmation
from search.finish.ensemble_record import EnsembleRecord
from search.finish.export_record import ExportRecord
from search.finish.final import Final
from search.finish.finished import FINAL
from search.finish.record import read_record
from trainer import Assessment, Comparison, Rule

#: below the study's directory
CONFIRM = "confirm"


@dataclass(frozen=True)
class Stored:
    """The parts of a study's finish that are there; each None until its part is done."""

    confirmation: Confirmation | None = None
    rule: Rule | None = None
    evaluation: Assessment | None = None
    baseline: Comparison | None = None
    ensemble: EnsembleRecord | None = None
    export: ExportRecord | None = None
    final: Final | None = None


def read_stored(study_directory: Path) -> Stored:
    """What the finish of the study in `studies/NAME` has left so far."""
    final = study_directory / FINAL
    return Stored(
        confirmation=read_record(study_directory / CONFIRM / "confirmation.json", Confirmation),
        rule=read_record(final / "rule.json", Rule),
        evaluation=read_record(final / "evaluation.json", Assessment),
        baseline=read_record(final / "baseline.json", Comparison),
        ensemble=read_record(final / "ensemble.json", EnsembleRecord),
        export=read_record(final / "export.json", ExportRecord),
        final=read_record(final / "final.json", Final),
    )
