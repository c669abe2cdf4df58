"""A finished model made of numbers alone, for tests of what is said of it."""

from __future__ import annotations

from search.finish.final import Final
from trainer import Assessment, ClassScore, Comparison, Interval, Slice, TaskScore


def around(value: float, *, half: float = 0.02) -> Interval:
    """`value` with an interval around it."""
    return Interval(value, value - half, value + half, method="made up")


def assessment(f1_macro: float, *, accused: float) -> Assessment:
    """One task of two classes, and a slice of harmless rows."""
    classes = [ClassScore(name, 100, 100, 0.8, 0.8, around(0.8)) for name in ("0", "1")]
    task = TaskScore("labels", 1.0, 200, around(f1_macro), around(0.8), classes, [[80, 20], [20, 80]])
    labels, predicted = {"0": 100, "1": 0}, {"0": 60, "1": 40}
    harmless = Slice(
        "fine_grained_label", "3", "labels", 100, labels, predicted, around(0.6), 0.4, around(accused)
    )
    return Assessment("test.jsonl", "0" * 64, 200, around(f1_macro), around(0.8), [task], [harmless])


def final(*, ours: float, baseline: float) -> Final:
    """A model with this test score beside a baseline with that one."""
    comparison = Comparison(
        "TF-IDF",
        {"labels": 5.0},
        "the validation rows",
        assessment(baseline, accused=0.59),
        around(ours - baseline),
    )
    return Final(
        status="completed",
        directory="studies/s/final",
        trial=1,
        experiment_dir="studies/s/final/experiment",
        model_dir="studies/s/final/model",
        eval_f1_macro=0.8,
        test_f1_macro=ours,
        baseline_f1_macro=baseline,
        evaluation=assessment(ours, accused=0.40),
        comparison=comparison,
    )
