"""A report on data files for a person: the classes in use, the files, how alike they are, the findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from search.language import translated

if TYPE_CHECKING:
    from trainer import DataReport, FileFacts

#: wide enough for any line where there is no terminal to ask
PLAIN_WIDTH = 200

_STYLES = {"error": "red", "warning": "yellow", "note": "dim"}


def show_report(report: DataReport, *, console: Console | None = None) -> None:
    """Print `report` on `console` (None: stdout)."""
    shown = console or Console()
    if not shown.is_terminal:
        shown.width = PLAIN_WIDTH
    for table in _tables(report):
        shown.print(table)
    for finding in report.findings:
        said = f"{translated(finding.level)}: {translated(finding.message)}"
        shown.print(Text(said, style=_STYLES[finding.level]), soft_wrap=True)
        if finding.places:
            more = ", …" if finding.count > len(finding.places) else ""
            shown.print(Text(f"  {', '.join(finding.places)}{more}"), soft_wrap=True)
    shown.print(Text(translated(_verdict(report))), soft_wrap=True)


def _tables(report: DataReport) -> Iterator[Table]:
    yield _classes(report)
    yield _files(report)
    if any(facts.tokens for facts in report.files):
        yield _tokens(report)
    if report.pairs:
        yield _pairs(report)
    if report.associations:
        yield _associations(report)


def _classes(report: DataReport) -> Table:
    """Classes in the order in use, with their rows: a label is its class's number."""
    table = _table("Classes, by the number that stands for them", "task", "class")
    for facts in report.files:
        table.add_column(facts.split, justify="right")
    for task in report.tasks:
        for number, name in enumerate(task.classes):
            counts = [_share(facts.labels[task.name], name) for facts in report.files]
            table.add_row(task.name if not number else "", _class(number, name), *counts)
        if any(facts.masked[task.name] for facts in report.files):
            masked = (str(facts.masked[task.name]) for facts in report.files)
            table.add_row("", translated("no label"), *masked)
    return table


def _class(number: int, name: str) -> str:
    return name if name == str(number) else f"{number} {name}"


def _share(counts: Mapping[str, int], name: str) -> str:
    total = sum(counts.values())
    return f"{counts[name]} ({counts[name] / total:.0%})" if total else "0"


def _files(report: DataReport) -> Table:
    title = f"Files; script told by {report.script_method}"
    headings = ("file", "encoding", "rows", "faulty", "repeated", "characters 5/50/95/99/100 %")
    table = _table(title, *headings, "simplified", "traditional", "mixed", "neither")
    for facts in report.files:
        scripts = facts.scripts
        counts = (scripts.simplified, scripts.traditional, scripts.mixed, scripts.neither)
        table.add_row(*_file_cells(facts), *map(str, counts))
    return table


def _file_cells(facts: FileFacts) -> list[str]:
    faulty, lengths = sum(facts.faults.values()), _slashed(facts.lengths)
    return [facts.split, facts.encoding, str(facts.rows), str(faulty), str(facts.duplicates), lengths]


def _tokens(report: DataReport) -> Table:
    headings = ("file", "unknown", "cut", "at tokens", "tokens 5/50/95/99/100 %", "unknown characters")
    table = _table("Tokens", *headings)
    for facts in report.files:
        if found := facts.tokens:
            unknown = " ".join(f"{character} {count}" for character, count in found.unknown.items())
            cells = (f"{found.unk_rate:.2%}", str(found.truncated), str(found.max_length))
            table.add_row(facts.split, *cells, _slashed(found.lengths), Text(unknown))
    return table


def _pairs(report: DataReport) -> Table:
    """AUC 0.5: a classifier cannot tell the two splits apart."""
    names = list(report.pairs[0].label_shift)
    shifts = (f"{name}: class shares differ by" for name in names)
    headings = ("splits", "told apart, AUC", "lengths differ by", "bigrams only in the second", *shifts)
    table = _table("How unlike the splits are (AUC 0.5, 0 %: alike)", *headings)
    for pair in report.pairs:
        auc = translated("too few rows") if pair.auc is None else f"{pair.auc:.2f}"
        cells = [
            f"{pair.first}, {pair.second}",
            auc,
            f"{pair.length_shift:.0%}",
            f"{pair.unseen_bigrams:.0%}",
        ]
        moved = [f"{pair.label_shift[name]:.0%}" if name in pair.label_shift else "-" for name in names]
        table.add_row(*cells, *moved)
    return table


def _associations(report: DataReport) -> Table:
    table = _table("How tasks go together (0: not at all, 1: one tells the other)", "tasks", "Cramér's V")
    for pair in report.associations:
        table.add_row(f"{pair.first}, {pair.second}", f"{pair.cramers_v:.2f}")
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=Text(translated(title)), title_justify="left", box=SIMPLE)
    for heading in headings:
        table.add_column(translated(heading))
    return table


def _slashed(lengths: Mapping[int, int]) -> str:
    return "/".join(map(str, lengths.values()))


def _verdict(report: DataReport) -> str:
    errors = sum(finding.level == "error" for finding in report.findings)
    warnings = sum(finding.level == "warning" for finding in report.findings)
    if errors:
        return f"Not sound: {errors} error(s), {warnings} warning(s)."
    return f"Sound: no error, {warnings} warning(s)."
