"""Studies on disk, written by the product's own means, for the pages that are made of them."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.finish.confirmation import Candidate, Confirmation, ConfirmRun
from search.finish.export_record import ExportRecord
from search.finish.final import Final
from search.finish.record import write_record
from search.marks import ATTRIBUTE
from search.storage.storage import quiet_optuna
from search.storage.url import sqlite_url
from trainer import (
    Assessment,
    ClassScore,
    Comparison,
    HardError,
    Interval,
    Outcome,
    Rule,
    Slice,
    TaskRule,
    TaskScore,
    dump_config,
    load_config,
    write_json,
    write_text,
)

MIB = 2**20
#: what a page must show as text and never run
HOSTILE = "</script><script>document.title='taken'</script>你真的很差劲"
#: TPE draws the values; these are the axes it draws them from
AXES = {
    "training.learning_rate": FloatDistribution(1e-5, 1e-3, log=True),
    "training.effective_batch_size": CategoricalDistribution([16, 32, 64]),
    "model.dropout_rate": FloatDistribution(0.0, 0.2),
    "model.pooling": CategoricalDistribution(["cls", "mean"]),
}


def whole_study(home: Path, *, name: str = "whole", trials: int = 12) -> str:
    """A finished study on a card: pruned, out-of-memory and failed trials, confirmation, test, export."""
    study = _create(home, name, card="4GiB")
    for number in range(trials):
        add(study, home / name, number=number, state=_state_of(number))
    _room(home / name)
    finish(home / name)
    return name


def bare_study(home: Path, *states: TrialState, name: str = "bare") -> str:
    """A study without a card and without a finish, its trials in `states`."""
    study = _create(home, name, card=None)
    for number, state in enumerate(states):
        add(study, home / name, number=number, state=state, on_card=False)
    return name


def add(study: Study, directory: Path, *, number: int, state: TrialState, on_card: bool = True) -> None:
    """One trial in the study, and what it leaves in its directory."""
    study.add_trial(made(number, state))
    if state == TrialState.RUNNING:
        return
    home = directory / f"trial-{number:04d}"
    home.mkdir(parents=True)
    write_text(home / "config.yaml", dump_config(load_config(template="fast_dev").config))
    events = [{"where": "forward", "from_tokens": 2048, "to_tokens": 1024}] if number == 2 else []
    write_json(home / "outcome.json", asdict(_outcome(home, number, state, on_card, events)))
    write_json(home / "metrics.json", [{"evaluation": 1, "step": 9, "epoch": 0, "eval_f1_macro": 0.5}])


def made(number: int, state: TrialState) -> FrozenTrial:
    """A trial with values spread over the axes; the best of any number is somewhere in the middle."""
    part = (number * 0.618) % 1.0
    values: dict[str, Any] = {
        "training.learning_rate": 1e-5 * 100**part,
        "training.effective_batch_size": (16, 32, 64)[number % 3],
        "model.dropout_rate": 0.2 * ((number * 0.382) % 1.0),
        "model.pooling": ("cls", "mean")[number // 2 % 2],
    }
    peak = 0.8 - 0.3 * abs(part - 0.5) - 0.02 * (number % 3)
    steps = 4 if state == TrialState.COMPLETE else 1 if state == TrialState.PRUNED else 0
    reports = {step: peak - 0.4 * math.exp(-step) for step in range(1, steps + 1)}
    attributes: dict[str, Any] = {"seconds": 12.5 * max(1, steps)}
    if state == TrialState.PRUNED:
        attributes["cause"] = "oom" if number == 7 else "pruned"
    if state == TrialState.FAIL:
        attributes |= {"cause": "failed", "error": "the disk is <full> & gone"}
    oom = state == TrialState.PRUNED and number == 7
    return create_trial(
        state=state,
        value=peak if state == TrialState.COMPLETE else None,
        params=values,
        distributions=dict(AXES),
        intermediate_values=reports,
        user_attrs=attributes,
        system_attrs={"constraints:memory_gib": 0.5} if oom else {},
    )


def finish(directory: Path) -> None:
    """Every part of a finish, as its own code leaves them."""
    final = directory / "final"
    (final / "model").mkdir(parents=True)
    (directory / "confirm").mkdir()
    config = dump_config(load_config(template="production").config)
    confirmation, rule, exported = _confirmation(), Rule([_rule()]), _exported(final / "model")
    evaluation, baseline = assessment(0.775), comparison()
    whole = Final(
        status="completed",
        directory=str(final),
        trial=4,
        experiment_dir=str(final / "experiment"),
        model_dir=str(final / "model"),
        eval_f1_macro=0.81,
        test_f1_macro=evaluation.f1_macro.value,
        baseline_f1_macro=baseline.assessment.f1_macro.value,
        confirmation=confirmation,
        rule=rule,
        evaluation=evaluation,
        comparison=baseline,
        export=exported,
        config=config,
        seconds=90.0,
    )
    parts: list[tuple[Path, Any]] = [
        (directory / "confirm" / "confirmation.json", confirmation),
        (final / "rule.json", rule),
        (final / "evaluation.json", evaluation),
        (final / "baseline.json", baseline),
        (final / "export.json", exported),
        (final / "final.json", whole),
    ]
    for path, part in parts:
        write_record(path, part, key="made by a test")


def _exported(model: Path) -> ExportRecord:
    return ExportRecord(str(model), 4.8e-06, 64, 200, 0.775, 0)


def assessment(f1: float, *, errors: bool = True) -> Assessment:
    """An evaluation of one task with two classes, slices and one hard error."""
    about = interval(f1)
    classes = [ClassScore("none", 110, 108, 0.8, 0.79, about), ClassScore("toxic", 90, 92, 0.75, 0.77, about)]
    task = TaskScore("toxicity", 1.0, 200, about, about, classes, [[87, 23], [21, 69]], ece=0.04)
    accused = _slice("fine_grained_label", "anti-bias", flagged=f1 - 0.5)
    slices = [accused, _slice("topic", "region", flagged=0.4)]
    hard = [HardError(17, HOSTILE, "toxicity", "toxic", "none", 0.99, 0.01)] if errors else []
    return Assessment("test.jsonl", "00", 200, about, about, [task], slices, [], hard)


def comparison(difference: Interval | None = None) -> Comparison:
    """The baseline, by default clearly behind."""
    ahead = difference or Interval(0.03, 0.01, 0.05, method="paired bootstrap")
    beside = assessment(0.745, errors=False)
    return Comparison("TF-IDF + logistic regression", {"toxicity": 1.0}, "validation rows", beside, ahead)


def interval(value: float) -> Interval:
    """`value` and 0.02 to either side."""
    return Interval(value, value - 0.02, value + 0.02, method="percentile bootstrap over rows")


def _create(home: Path, name: str, *, card: str | None) -> Study:
    quiet_optuna()
    home.mkdir(exist_ok=True)
    url = sqlite_url(home / f"{name}.db")
    study = optuna.create_study(storage=url, study_name=name, direction="maximize")
    attribute: dict[str, Any] = {
        "versions": {"python": "3.11", "torch": "2.13.0"},
        "definition": {"config": {"model": {"name": "hfl/chinese-macbert-base"}}, "search": {}},
    }
    if card:
        attribute["room"] = {"card": card, "trimmed": {"training.effective_batch_size": [64]}, "planned": []}
    study.set_user_attr(ATTRIBUTE, json.dumps(attribute))
    return study


def _state_of(number: int) -> TrialState:
    if number == 5:
        return TrialState.FAIL
    return TrialState.PRUNED if number in (1, 7, 9) else TrialState.COMPLETE


def _outcome(
    home: Path, number: int, state: TrialState, on_card: bool, events: list[dict[str, Any]]
) -> Outcome:
    status: Any = {"COMPLETE": "completed", "PRUNED": "stopped"}.get(state.name, "failed")
    memory: dict[str, Any] = {}
    if on_card:
        planned = (1800 + 90 * (number % 5)) * MIB
        memory = {
            "predicted_peak_bytes": planned,
            "measured_peak_bytes": planned - 40 * MIB,
            "limit_bytes": 3746 * MIB,
            "measures": ["micro-batch 16 -> 8"],
        }
    if number == 7:
        return Outcome("oom", str(home), error="needs 5.10 GiB at forward", **memory)
    return Outcome(status, str(home), seconds=12.5, oom_events=events, **memory)


def _room(directory: Path) -> None:
    sizes = {"predicted_bytes": 5000 * MIB, "needed_bytes": 5222 * MIB, "limit_bytes": 3746 * MIB}
    room = {"verdict": "no", **sizes}
    planned = [{"values": {"training.effective_batch_size": 64}, "room": room}]
    write_json(directory / "room.json", {"card": "4GiB", "planned": planned})


def _slice(column: str, value: str, *, flagged: float) -> Slice:
    labels = {"none": 40, "toxic": 0 if value == "anti-bias" else 20}
    rows = sum(labels.values())
    share = interval(flagged)
    return Slice(column, value, "toxicity", rows, labels, {"none": 30, "toxic": rows - 30}, share, 0.7, share)


def _rule() -> TaskRule:
    return TaskRule(
        "toxicity",
        ["none", "toxic"],
        [0.1, -0.1],
        1.3,
        200,
        5,
        True,
        True,
        0.80,
        0.81,
        ece_before=0.08,
        ece_after=0.03,
        reason="offsets gained 0.01 out of fold",
    )


def _confirmation() -> Confirmation:
    runs = [ConfirmRun(4, seed, "completed", "", 0.79, 3.0, 40.0) for seed in (1, 2)]
    first = Candidate(4, {}, 0.80, runs, interval(0.79), 0.004, 0.01, True, 40.0, 1900 * MIB)
    second = Candidate(0, {}, 0.79, runs, interval(0.785), 0.005, 0.005, True, 30.0, 1800 * MIB)
    return Confirmation([1, 2], 4, [first, second], 0.01, 0, "it takes less time", "means closer than noise")
