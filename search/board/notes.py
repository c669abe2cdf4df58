"""The notes that the dashboard shows beside a study and its trials, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.report.facts import TrialFacts
from search.values import short, values_line
from search.verdict import CUT
from trainer import show_size


def study_note(name: str, attribute: Mapping[str, Any]) -> str:
    """What the study searches, on which card, what was trimmed, how to go on."""
    definition = attribute.get("definition", {})
    model = definition.get("config", {}).get("model", {}).get("name", "unknown")
    lines = [f"## {name}", "", f"Model `{model}`, searched for the best `eval_f1_macro`.", ""]
    searched = definition.get("search", {})
    if searched:
        lines += ["| searched | values |", "| --- | --- |"]
        lines += [f"| `{key}` | {_dimension(dimension)} |" for key, dimension in searched.items()]
        lines.append("")
    lines += [*_room(attribute.get("room", {})), "", "Go on, look further:", "", "```sh"]
    lines += [f"cp-search status {name}", f"cp-search report {name}", f"cp-search tensorboard {name}", "```"]
    return "\n".join(lines)


def half_imported_note(name: str) -> str:
    """That the study is not whole, and what makes it so."""
    return (
        f"## {name}\n\n**Half imported:** its import is under way, or was cut off. In that case type the "
        f"same `cp-search study import` again, or `cp-search study delete {name}`."
    )


def trial_note(trial: TrialFacts) -> str:
    """How the trial ended and why, its memory, where its files are."""
    cause = f", {trial.cause}" if trial.cause else ""
    lines = [f"**Trial {trial.number}: {trial.state}**{cause}", ""]
    if trial.error:
        lines += [f"> {trial.error}", ""]
    lines += [f"- {line}" for line in _memory(trial)]
    lines += [f"- values: {values_line(trial.params)}"]
    if trial.directory is not None:
        files = [path.name for path in sorted(Path(trial.directory).glob("*.*")) if path.is_file()]
        lines.append(f"- files in `{trial.directory}`: {', '.join(files)}")
    return "\n".join(lines)


def _memory(trial: TrialFacts) -> list[str]:
    if trial.predicted_bytes is None and trial.measured_bytes is None:
        return ["memory: no card limited this trial, or it has not told yet"]
    sizes = (
        ("planned", trial.predicted_bytes),
        ("measured", trial.measured_bytes),
        ("limit", trial.limit_bytes),
    )
    known = ", ".join(f"{word} {show_size(size)}" for word, size in sizes if size is not None)
    least = "at least " if any(event["where"] == CUT for event in trial.oom_events) else ""
    halved = [f"out of memory {least}{len(trial.oom_events)} times, each time done again smaller"]
    measures = [f"measures: {'; '.join(trial.measures)}"] if trial.measures else []
    return [f"memory: {known}", *measures, *(halved if trial.oom_events else [])]


def _room(room: Mapping[str, Any]) -> list[str]:
    if not room:
        return ["No card limits it."]
    lines = [f"Card: **{room.get('card')}**."]
    for key, choices in room.get("trimmed", {}).items():
        lines.append(
            f"Not searched, because the card cannot hold it: `{key}` {', '.join(map(short, choices))}."
        )
    return lines


def _dimension(dimension: Mapping[str, Any]) -> str:
    if dimension.get("choices") is not None:
        return ", ".join(short(choice) for choice in dimension["choices"])
    log = ", log" if dimension.get("log") else ""
    return f"{short(dimension.get('low'))} to {short(dimension.get('high'))}{log}"
