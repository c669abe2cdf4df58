"""What the dashboard is shown of a study beyond what its file holds, made when it is looked at.

Nothing of it is stored: it is never stale, costs a running search nothing, and is there for studies
that ended before, or whose worker was killed. A note that a person wrote stands in place of ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from search.board.artifacts import Gallery, study_artifacts, trial_artifacts
from search.board.notes import half_imported_note, study_note, trial_note
from search.marks import ATTRIBUTE
from search.report.facts import TrialFacts
from search.report.gather import trial_facts

#: the dashboard looks through all notes for every trial: more of them would make it slow
MOST_NOTES = 500
#: keys under which optuna-dashboard keeps notes, of a study or of the trial with that id
NOTE_KEY = re.compile(r"dashboard:(?:(\d+):)?(note_ver|note_str:\d*)")
_MEMORY_PLOT = "dashboard:plot_data:memory:0"
MIB = 2**20


@dataclass(frozen=True)
class Trimmings:
    """Attributes to lay over those that are stored. trials: id -> attributes of that trial."""

    study: dict[str, Any] = field(default_factory=dict)
    trials: dict[int, dict[str, Any]] = field(default_factory=dict)


def trimmings(
    name: str, *, user_attrs: Mapping[str, Any], trials: Sequence[FrozenTrial], home: Path, gallery: Gallery
) -> Trimmings:
    """Notes, artifacts, constraints and the memory plot of one study, whose directory is `home`.

    The ids in the notes' keys are those of `trials`.
    """
    attribute = json.loads(user_attrs.get(ATTRIBUTE, "{}"))
    facts = [trial_facts(trial, home) for trial in trials]
    study = _note(None, study_note(name, attribute)) if attribute else {}
    study |= dict(gallery.hang(artifact) for artifact in study_artifacts(home))
    study |= _memory_plot(facts)
    for trial, known in list(zip(trials, facts, strict=True))[-MOST_NOTES:]:
        study |= _note(trial._trial_id, trial_note(known))
    return Trimmings(
        study,
        {
            trial._trial_id: _of_trial(known, trial, gallery)
            for trial, known in zip(trials, facts, strict=True)
        },
    )


def half_imported(name: str) -> Trimmings:
    """The note of a study that is not whole."""
    return Trimmings(_note(None, half_imported_note(name)))


def overlaid(stored: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """`extra` over `stored`; but where a person has written a note, theirs."""
    found = dict(stored)
    for key, value in extra.items():
        match = NOTE_KEY.fullmatch(key)
        if match is None or not _written(stored, match[1]):
            found[key] = value
    return found


def _written(stored: Mapping[str, Any], trial: str | None) -> bool:
    prefix = f"dashboard:{trial}:" if trial else "dashboard:"
    return bool(stored.get(f"{prefix}note_str:0"))


def _note(trial_id: int | None, text: str) -> dict[str, Any]:
    prefix = "dashboard:" if trial_id is None else f"dashboard:{trial_id}:"
    return {f"{prefix}note_ver": 0, f"{prefix}note_str:0": text}


def _of_trial(known: TrialFacts, trial: FrozenTrial, gallery: Gallery) -> dict[str, Any]:
    """Artifacts, and the constraints where the dashboard looks for them."""
    found: dict[str, Any] = dict(gallery.hang(artifact) for artifact in trial_artifacts(known))
    if trial.constraints:
        found["constraints"] = list(trial.constraints.values())
    return found


def _memory_plot(facts: Sequence[TrialFacts]) -> dict[str, Any]:
    """Planned and measured peaks as a plotly figure."""
    lines: list[dict[str, Any]] = []
    for name, symbol in (("planned", "circle-open"), ("measured", "circle")):
        sizes = [(t.number, t.predicted_bytes if name == "planned" else t.measured_bytes) for t in facts]
        known = [(number, size / MIB) for number, size in sizes if size is not None]
        if known:
            x, y = zip(*known, strict=True)
            marker = {"symbol": symbol}
            lines.append(
                {"type": "scatter", "mode": "markers", "name": name, "x": x, "y": y, "marker": marker}
            )
    limit = max((trial.limit_bytes or 0 for trial in facts), default=0)
    if not lines:
        return {}
    if limit:
        x, y = (0, max(1, len(facts) - 1)), (limit / MIB, limit / MIB)
        lines.append({"type": "scatter", "mode": "lines", "name": "limit", "x": x, "y": y})
    layout = {
        "title": {"text": "Memory peak, planned and measured"},
        "xaxis": {"title": {"text": "Trial"}},
        "yaxis": {"title": {"text": "MiB"}, "rangemode": "tozero"},
    }
    return {_MEMORY_PLOT: json.dumps({"data": lines, "layout": layout})}
