"""The trials of a study as rows: for a spreadsheet, a script, and the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table

from search.language import translated
from search.values import values_line


def row(trial: FrozenTrial) -> dict[str, Any]:
    """One trial, JSON-able: what was tried, what came of it, and why."""
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value if trial.state == TrialState.COMPLETE else None,
        "cause": trial.user_attrs.get("cause"),
        "params": trial.params,
        "intermediate_values": {str(step): value for step, value in trial.intermediate_values.items()},
        "constraints": trial.constraints,
        "user_attrs": trial.user_attrs,
        "datetime_start": str(trial.datetime_start) if trial.datetime_start else None,
        "datetime_complete": str(trial.datetime_complete) if trial.datetime_complete else None,
    }


def to_csv(trials: Sequence[FrozenTrial]) -> str:
    """One line per trial; one column per parameter, step, constraint and attribute that any trial has."""
    flat = [_flat(row(trial)) for trial in trials]
    names = dict.fromkeys(name for one in flat for name in one)
    text = io.StringIO()
    writer = csv.DictWriter(text, _in_order(names), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def lines(trials: Iterable[FrozenTrial], *, width: int) -> list[str]:
    """The same for a person: a table of at most `width` characters."""
    table = Table(box=None, pad_edge=False)
    for name in ("trial", "state", "value", "cause", "values tried"):
        table.add_column(translated(name), overflow="fold")
    for trial in trials:
        one = row(trial)
        value = f"{one['value']:.4f}" if one["value"] is not None else ""
        table.add_row(
            str(trial.number), translated(one["state"]), value, one["cause"] or "", values_line(trial.params)
        )
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(table)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def _flat(one: Mapping[str, Any]) -> dict[str, Any]:
    groups = {
        "params": "param",
        "intermediate_values": "step",
        "constraints": "constraint",
        "user_attrs": "user",
    }
    flat = {key: value for key, value in one.items() if key not in groups}
    for key, prefix in groups.items():
        flat |= {f"{prefix}.{name}": value for name, value in one[key].items()}
    return flat


def _in_order(names: Iterable[str]) -> list[str]:
    """Groups as they come, steps by their number."""
    found = list(names)
    steps = sorted((name for name in found if name.startswith("step.")), key=lambda name: int(name[5:]))
    return [name for name in found if not name.startswith("step.")] + steps
