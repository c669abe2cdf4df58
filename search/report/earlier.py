"""A finish that left scores without intervals, read into the shapes of one that has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from search.finish.final import Final
from search.finish.stored import Stored
from trainer import Assessment, ClassScore, Comparison, Interval, TaskScore


def earlier_finish(home: Path, stored: Stored) -> Stored:
    """`stored` with what `outcome.json` in `home` says of the final model; as it is where there is none."""
    try:
        found = json.loads((home / "outcome.json").read_text(encoding="utf-8"))
        final = TypeAdapter(Final).validate_python(found)
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, ValidationError):
        return stored
    evaluation = stored.evaluation or final.evaluation or plain_assessment(final.test)
    baseline = stored.baseline or final.comparison or _comparison(final, evaluation)
    return replace(stored, final=final, evaluation=evaluation, baseline=baseline)


def plain_assessment(scores: Mapping[str, Any]) -> Assessment | None:
    """`trainer.metrics.Scores.as_dict()` as an `Assessment` without intervals; None of empty scores."""
    if not scores.get("tasks"):
        return None
    tasks = [_task(name, task) for name, task in scores["tasks"].items()]
    return Assessment(
        path="",
        sha256="",
        rows=max(task.rows for task in tasks),
        f1_macro=Interval(scores["f1_macro"]),
        accuracy=Interval(scores["accuracy"]),
        tasks=tasks,
    )


def _task(name: str, scores: Mapping[str, Any]) -> TaskScore:
    confusion: list[list[int]] = scores["confusion"]
    classes = [
        _class(label, f1, row=position, confusion=confusion)
        for position, (label, f1) in enumerate(scores["f1"].items())
    ]
    return TaskScore(
        name=name,
        weight=1.0,
        rows=scores["rows"],
        f1_macro=Interval(scores["f1_macro"]),
        accuracy=Interval(scores["accuracy"]),
        classes=classes,
        confusion=confusion,
    )


def _class(label: str, f1: float, *, row: int, confusion: Sequence[Sequence[int]]) -> ClassScore:
    support, predicted = sum(confusion[row]), sum(true[row] for true in confusion)
    hits = confusion[row][row]
    return ClassScore(
        name=label,
        support=support,
        predicted=predicted,
        precision=hits / max(1, predicted),
        recall=hits / max(1, support),
        f1=Interval(f1),
    )


def _comparison(final: Final, evaluation: Assessment | None) -> Comparison | None:
    baseline = plain_assessment(final.baseline)
    if baseline is None or evaluation is None:
        return None
    ahead = Interval(evaluation.f1_macro.value - baseline.f1_macro.value)
    return Comparison("TF-IDF + logistic regression", {}, "", baseline, ahead)
