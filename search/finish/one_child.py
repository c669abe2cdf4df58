"""From the best trial to an exported model: retrain for production, test once, compare, export.

Everything happens in one child process and below `final/` of the study's directory. A finish that
was interrupted goes on; one that is done for the same configuration is not done again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.aside import move_aside
from search.engine.local import read_result
from search.finish.final import Final
from search.finish.stored import FINAL
from trainer import dump_config, write_json

if TYPE_CHECKING:
    from search.engine.base import Runner
    from trainer import CardSpec, Config, Observer, Outcome, Report

#: below `final/`, written before anything else: whose model is being made there
_BEGUN = "begun.json"
#: below `final/`: the retraining is done, and is not done again after a crash in what follows
_RETRAINED = "retrained.json"
#: texts of the validation rows on which the reloaded model must agree with the trained one
_CHECKED_TEXTS = 64


@dataclass(frozen=True)
class FinalJob:
    """Retrain `config`, test, fit the baseline on the same rows, export. Runs in a child process."""

    config: Config
    directory: str
    trial: int
    facts: Mapping[str, Any]
    card: CardSpec | None = None

    def run(self, observer: Observer, report: Report) -> Final:
        """Do it; a retraining that did not complete is returned with its status and no model."""
        home = Path(self.directory)
        outcome = self._retrained(home) or self._retrain(home, observer)
        if outcome.status != "completed":
            return self._final(outcome)
        baseline = self._baseline(observer) if self.config.data.test_path else {}
        scores = {
            "validation_f1_macro": outcome.best_metrics["eval_f1_macro"],
            "test_f1_macro": outcome.test.get("f1_macro"),
            "baseline_f1_macro": baseline.get("f1_macro"),
        }
        observer.say("Exporting, and loading the export back")
        return self._final(outcome, baseline=baseline, export=self._export(home, scores))

    def _retrain(self, home: Path, observer: Observer) -> Outcome:
        from trainer import run

        outcome = run(self.config, directory=home / "experiment", card=self.card, observer=observer)
        if outcome.status == "completed":
            write_json(home / _RETRAINED, {"config": dump_config(self.config), "outcome": asdict(outcome)})
        return outcome

    def _retrained(self, home: Path) -> Outcome | None:
        """What the retraining came to, if an earlier attempt got that far with this configuration."""
        from trainer import Outcome

        try:
            found = json.loads((home / _RETRAINED).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return Outcome(**found["outcome"]) if found["config"] == dump_config(self.config) else None

    def _baseline(self, observer: Observer) -> dict[str, Any]:
        from trainer import LabelledTexts, read_rows, tfidf_baseline

        observer.say("Fitting the TF-IDF + logistic regression baseline on the same rows")
        rows = read_rows(self.config)
        train = LabelledTexts(rows.train.table.texts, rows.train.labels_NT)
        if rows.test is None:
            return {}
        test = LabelledTexts(rows.test.table.texts, rows.test.labels_NT)
        return tfidf_baseline(train, test=test, tasks=rows.tasks).as_dict()

    def _export(self, home: Path, scores: dict[str, Any]) -> tuple[Path, float]:
        from trainer import export_model, read_table

        texts = read_table(Path(str(self.config.data.val_path))).texts[:_CHECKED_TEXTS]
        facts = {**self.facts, **scores}
        exported = export_model(home / "experiment", to=home / "model", texts=texts, facts=facts)
        return exported.directory, exported.largest_difference

    def _final(
        self,
        outcome: Outcome,
        *,
        baseline: Mapping[str, Any] | None = None,
        export: tuple[Path, float] | None = None,
    ) -> Final:
        model_dir, difference = export or (None, None)
        return Final(
            status=outcome.status,
            directory=self.directory,
            trial=self.trial,
            experiment_dir=outcome.directory,
            model_dir=str(model_dir) if model_dir else None,
            eval_f1_macro=outcome.best_metrics.get("eval_f1_macro"),
            test_f1_macro=outcome.test.get("f1_macro"),
            baseline_f1_macro=(baseline or {}).get("f1_macro"),
            test=outcome.test,
            baseline=dict(baseline or {}),
            reloaded_difference=difference,
            config=dump_config(self.config),
            error=outcome.error,
        )


def finish(job: FinalJob, *, engine: Runner, observer: Observer) -> Final:
    """`job`'s result: what lies there already if it is of the same configuration, else made now.

    What was made, or begun, of another configuration is moved aside to `final-of-trial-NNNN`, not deleted.
    """
    done = finished(job)
    if done is not None:
        return done
    home = Path(job.directory)
    begun = _begun(home)
    if begun is not None and begun["config"] != dump_config(job.config):
        move_aside(home, name=f"{FINAL}-of-trial-{begun['trial']:04d}")
    home.mkdir(parents=True, exist_ok=True)
    write_json(home / _BEGUN, {"trial": job.trial, "config": dump_config(job.config)})
    result = engine.run(job, observer=observer, report=lambda step, metrics: False)
    if "experiment_dir" not in result:
        return _failed(job, str(result.get("error")))
    return Final(**result)


def finished(job: FinalJob) -> Final | None:
    """The final model that lies there already; None if there is none, or of another configuration."""
    result = read_result(Path(job.directory))
    if result is None or result.get("model_dir") is None or not Path(result["model_dir"]).is_dir():
        return None
    return Final(**result) if result["config"] == dump_config(job.config) else None


def _begun(home: Path) -> dict[str, Any] | None:
    """The trial and the configuration of the finish that was begun in `home`, whether or not it ended."""
    try:
        found: dict[str, Any] = json.loads((home / _BEGUN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def _failed(job: FinalJob, error: str) -> Final:
    """The child left no `Final`: it crashed, and its trace is in `error.txt` beside."""
    return Final(
        status="failed",
        directory=job.directory,
        trial=job.trial,
        experiment_dir=str(Path(job.directory) / "experiment"),
        error=error,
    )
