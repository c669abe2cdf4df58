"""The end of a finish: which model was made, how good it is, and why it is this one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from search.finish.confirmation import Confirmation
from search.finish.ensemble_record import EnsembleRecord
from search.finish.export_record import ExportRecord
from trainer import Assessment, Comparison, Rule


@dataclass(frozen=True)
class Final:
    """The finished model: where it lies and how good it is on rows nothing was chosen on.

    status: as of the retraining run. model_dir: the export; None if there is none. eval_f1_macro: of the
    retrained model on validation, by plain argmax; of a kept ensemble that of the whole.
    test_* and baseline_* are None without data.test_path.
    template, retrained_on ("train", "train+val"): what the retraining was. epochs_reason: where its number of
    epochs is from, when not from the template. notes: lines a person should read beside the numbers.
    confirmation, rule, evaluation, comparison, ensemble, export: None where that part was not done.
    test, baseline: only read of finishes by earlier versions: scores without intervals.
    reloaded_difference: of logits, between the trained model and the export loaded back.
    config: the YAML it was made from; a finish is done again only if this differs.
    """

    status: str
    directory: str
    trial: int
    experiment_dir: str
    model_dir: str | None = None
    eval_f1_macro: float | None = None
    test_f1_macro: float | None = None
    baseline_f1_macro: float | None = None
    test: dict[str, Any] = field(default_factory=dict)
    baseline: dict[str, Any] = field(default_factory=dict)
    reloaded_difference: float | None = None
    template: str = ""
    retrained_on: str = "train"
    epochs_reason: str = ""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    confirmation: Confirmation | None = None
    rule: Rule | None = None
    evaluation: Assessment | None = None
    comparison: Comparison | None = None
    ensemble: EnsembleRecord | None = None
    export: ExportRecord | None = None
    config: str = ""
    error: str | None = None
