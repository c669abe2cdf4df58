"""What a check objects to in data files, each with the rows it concerns and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from trainer.config.schema import ModelConfig
from trainer.data.facts import FileFacts, Sheet, TokenFacts
from trainer.data.read import MASKED, Labels
from trainer.data.tasks import Task, idle_labels
from trainer.data.tokens import UNKNOWN_TOKENS
from trainer.data.unlikeness import Unlikeness

Level = Literal["error", "warning", "note"]

#: Places named for one finding; the count says how many there are.
PLACES = 5
#: of rows that training refuses more, as each has to be mended by hand
FAULT_PLACES = 20

#: From these shares on something common in small numbers becomes a warning.
CUT_ROWS = 0.05
OTHER_SCRIPT = 0.05

_FAULTS = {
    "empty_text": "{split}: {count} row(s) without text; remove them with `cp-search data clean`",
    "not_json": "{split}: {count} line(s) that are not JSON; the first: {first}",
    "bad_row": "{split}: {count} row(s) that cannot be read; the first: {first}",
    "bad_label": "{split}: {count} label(s) that are no class; the first: {first}",
}


#: For each text that occurs more than once: (file, row) of where it does.
Occurrences = list[list[tuple[int, int]]]


@dataclass(frozen=True)
class Finding:
    """One objection. kind: its stable name; count: rows concerned; places: `file:line` of the first ones.

    level: error (training refuses the data or its scores would mislead), warning, or note.
    """

    level: Level
    kind: str
    message: str
    count: int
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class Association:
    """How two tasks go together: Cramér's V, 0 to 1; perfect: each class of one means one of the other."""

    first: str
    second: str
    cramers_v: float
    perfect: bool


def fault_findings(sheet: Sheet) -> Iterator[Finding]:
    """Rows that training would refuse."""
    for kind, what in _FAULTS.items():
        faults = [fault for fault in sheet.faults if fault.kind == kind]
        if faults:
            lines = [fault.line for fault in faults]
            message = what.format(split=sheet.split, count=len(faults), first=faults[0].message)
            yield Finding("error", kind, message, len(faults), _lines(sheet, lines))


def length_findings(sheet: Sheet, *, limit: int | None) -> Iterator[Finding]:
    """Texts of more than `limit` characters."""
    rows = [row for row, text in enumerate(sheet.table.texts) if limit is not None and len(text) > limit]
    if rows:
        message = (
            f"{sheet.split}: {len(rows)} text(s) have more than {limit} characters; "
            f"leave them out with `cp-search data clean --max-length {limit}`"
        )
        yield Finding("warning", "too_long", message, len(rows), _places(sheet, rows))


def idle_findings(sheet: Sheet, model: ModelConfig) -> Iterator[Finding]:
    """Fields of labels that nothing is trained on."""
    if note := idle_labels(model, sheet.table.fields):
        yield Finding("warning", "idle_labels", f"{sheet.split}: {note}", len(sheet.table))


def text_findings(sheets: Sequence[Sheet]) -> Iterator[Finding]:
    """Texts that occur more than once: within a file, in several files, and with different labels."""
    occurrences = _occurrences(sheets)
    for file, sheet in enumerate(sheets):
        copies = sorted(row for found in occurrences for row in _rows(found, file=file)[1:])
        if copies:
            message = f"{sheet.split}: {len(copies)} row(s) repeat the text of an earlier row"
            yield Finding("warning", "duplicate", message, len(copies), _places(sheet, copies))
    for first, second in combinations(range(len(sheets)), 2):
        shared = [found for found in occurrences if _rows(found, file=first) and _rows(found, file=second)]
        if shared:
            rows = sorted(row for found in shared for row in _rows(found, file=second))
            yield _shared(sheets[first], second=sheets[second], rows=rows)
    yield from _contradictions(sheets, occurrences)


def task_findings(facts: FileFacts, *, train: FileFacts | None) -> Iterator[Finding]:
    """What the label counts of one file say; `train` is the file that is learned from, if it is known."""
    for task, counts in facts.labels.items():
        present = [name for name, count in counts.items() if count]
        missing = ", ".join(name for name in counts if name not in present)
        if train in (None, facts) and len(present) < 2:
            what = f"one class only ({present[0]})" if present else "no label at all"
            message = f"{facts.split}: task {task} has {what}: nothing to learn; missing: {missing}"
            yield Finding("error", "unlearnable", message, facts.rows)
        elif missing:
            message = f"{facts.split}: task {task} has no row of class {missing}"
            yield Finding("warning", "empty_class", message, len(counts) - len(present))
        if masked := facts.masked[task]:
            message = f"{facts.split}: {masked} row(s) have no label for task {task}; its loss skips them"
            yield Finding("note", "masked", message, masked)


def file_findings(facts: FileFacts) -> Iterator[Finding]:
    """What encoding, scripts and tokens of one file say."""
    if facts.encoding == "GB18030":
        yield Finding("note", "encoding", f"{facts.split}: read as GB18030, because it is not UTF-8", 1)
    if facts.scripts.minority >= OTHER_SCRIPT:
        message = (
            f"{facts.split}: {facts.scripts.minority:.0%} of the texts are not {facts.scripts.main} Chinese; "
            "convert with `cp-search data clean --to`"
        )
        yield Finding("warning", "script", message, facts.scripts.mixed)
    if facts.tokens:
        yield from _token_findings(facts, tokens=facts.tokens)


def pair_findings(pair: Unlikeness, *, scripts: tuple[str | None, str | None]) -> Iterator[Finding]:
    """In what two splits are not alike; `scripts` are the main scripts of the two."""
    where = f"{pair.first} and {pair.second} are not alike"
    if pair.told_apart:
        message = f"{where}: a classifier of characters tells their texts apart (AUC {pair.auc:.2f})"
        yield Finding("warning", "unlike_texts", message, 1)
    for task in pair.shifted_tasks:
        message = f"{where}: the class shares of task {task} differ by {pair.label_shift[task]:.0%}"
        yield Finding("warning", "unlike_labels", message, 1)
    if None not in scripts and scripts[0] != scripts[1]:
        message = f"{where}: {pair.first} is {scripts[0]}, {pair.second} is {scripts[1]}"
        yield Finding("warning", "unlike_scripts", message, 1)


def association_findings(associations: Sequence[Association]) -> Iterator[Finding]:
    """Tasks that say the same thing twice."""
    for pair in associations:
        if pair.perfect:
            message = (
                f"tasks {pair.first} and {pair.second} are perfectly correlated: each class of one means "
                "one class of the other; is one copied from the other?"
            )
            yield Finding("warning", "correlated", message, 1)


def associate(labels_NT: Labels, *, tasks: Sequence[Task]) -> tuple[Association, ...]:
    """How each two tasks go together, on the rows that are labelled for both."""
    return tuple(
        _association(labels_NT[:, [first, second]], tasks=(tasks[first], tasks[second]))
        for first, second in combinations(range(len(tasks)), 2)
    )


def _association(labels_N2: Labels, *, tasks: tuple[Task, Task]) -> Association:
    """Cramér's V = sqrt(chi² / (n (min(rows, columns) - 1))) over the classes that occur (Cramér 1946)."""
    both = labels_N2[(labels_N2 != MASKED).all(axis=1)]
    table = np.zeros([len(task.classes) for task in tasks])
    np.add.at(table, (both[:, 0], both[:, 1]), 1)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    smaller = min(table.shape)
    if smaller < 2:
        return Association(tasks[0].name, tasks[1].name, 0.0, perfect=False)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    chi2 = ((table - expected) ** 2 / expected).sum()
    perfect = bool(((table > 0).sum(axis=0) == 1).all() and ((table > 0).sum(axis=1) == 1).all())
    v = float(np.sqrt(chi2 / (table.sum() * (smaller - 1))))
    return Association(tasks[0].name, tasks[1].name, v, perfect)


def _token_findings(facts: FileFacts, *, tokens: TokenFacts) -> Iterator[Finding]:
    if tokens.unk_rate >= UNKNOWN_TOKENS:
        shown = "".join(tokens.unknown)
        message = f"{facts.split}: {tokens.unk_rate:.1%} of the tokens are unknown to the model: {shown}"
        yield Finding("warning", "unknown_tokens", message, sum(tokens.unknown.values()))
    if tokens.truncated:
        share = tokens.truncated / facts.rows
        message = (
            f"{facts.split}: {tokens.truncated} row(s) ({share:.1%}) are cut at {tokens.max_length} tokens"
        )
        yield Finding("warning" if share >= CUT_ROWS else "note", "truncated", message, tokens.truncated)


def _shared(first: Sheet, *, second: Sheet, rows: list[int]) -> Finding:
    """A leak between splits; between files whose use is not known, only something to know."""
    places = _places(second, rows)
    if {first.split, second.split} <= {"train", "val", "test"}:
        remedy = (
            f"remove them with `cp-search data clean {second.table.path} OUT --without {first.table.path}`"
        )
        message = (
            f"{len(rows)} row(s) of {second.split} have a text that is also in {first.split}, "
            f"so that scores mislead; {remedy}"
        )
        return Finding("error", "leak", message, len(rows), places)
    message = f"{len(rows)} row(s) of {second.split} have a text that is also in {first.split}"
    return Finding("warning", "shared", message, len(rows), places)


def _contradictions(sheets: Sequence[Sheet], occurrences: Occurrences) -> Iterator[Finding]:
    found = [places for places in occurrences if _contradict(sheets, places)]
    if found:
        named = [_place(sheets[file], row) for places in found for file, row in places]
        message = f"{len(found)} text(s) have different labels in different rows; correct them"
        yield Finding("error", "contradiction", message, len(found), tuple(named[:PLACES]))


def _contradict(sheets: Sequence[Sheet], places: list[tuple[int, int]]) -> bool:
    labels_PT = np.array([sheets[file].labels_NT[row] for file, row in places])
    return any(len(set(column) - {MASKED}) > 1 for column in labels_PT.T.tolist())


def _occurrences(sheets: Sequence[Sheet]) -> Occurrences:
    """(file, row) of every text that occurs more than once."""
    found: dict[str, list[tuple[int, int]]] = {}
    for file, sheet in enumerate(sheets):
        for row, key in enumerate(sheet.identities):
            found.setdefault(key, []).append((file, row))
    return [places for places in found.values() if len(places) > 1]


def _rows(places: list[tuple[int, int]], *, file: int) -> list[int]:
    return [row for where, row in places if where == file]


def _places(sheet: Sheet, rows: Sequence[int]) -> tuple[str, ...]:
    return tuple(_place(sheet, row) for row in rows[:PLACES])


def _place(sheet: Sheet, row: int) -> str:
    return f"{sheet.table.path}:{sheet.table.lines[row]}"


def _lines(sheet: Sheet, lines: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"{sheet.table.path}:{line}" for line in lines[:FAULT_PLACES])
