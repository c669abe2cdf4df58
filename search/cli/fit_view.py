"""A fit table for a person: planned peaks, how far each length goes, what it all rests on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from search.language import translated
from trainer import asks_for

if TYPE_CHECKING:
    from trainer import Cell, FitTable, Reach, Resolved

GIB = 2**30
MIB = 2**20

#: wide enough for any table where there is no terminal to ask
PLAIN_WIDTH = 200

NO = "x"
#: mark of a cell -> what it says; a cell without a mark fits as it is
MARKS = {
    "": "fits",
    "s": "fits with selective gradient checkpointing",
    "c": "fits with gradient checkpointing",
    "h": "fits with gradient checkpointing and the optimizer's state in host memory (cpu_offload)",
    NO: "does not fit",
}
_STYLES = {"": "green", NO: "red"}


def show_fit(table: FitTable, resolved: Resolved, *, console: Console | None = None) -> None:
    """Print `table` on `console` (None: stdout)."""
    shown = console or Console()
    if not shown.is_terminal:
        shown.width = PLAIN_WIDTH
    shown.print(Text(translated(_title(table, resolved)), style="bold"), soft_wrap=True, highlight=False)
    shown.print(_peaks(table))
    for line in _legend(table):
        shown.print(Text(translated(line)), soft_wrap=True)
    shown.print()
    shown.print(_reach(table))
    for line in _closing(table, resolved):
        shown.print(Text(translated(line)), soft_wrap=True)


def _title(table: FitTable, resolved: Resolved) -> str:
    card, request = table.question.card, table.question.request
    kind = f"{request.precision}, {request.optimizer}, {request.attention} attention"
    room = f"{_gib(card.total_bytes)} GiB, {_gib(card.limit_bytes)} of them for training"
    return f"{resolved.config.model.name} on {card.name} ({room}); {kind}"


def _peaks(table: FitTable) -> Table:
    question = table.question
    found = _table("Planned peak, GiB, by tokens and micro-batch")
    for rows in question.batches:
        found.add_column(str(rows), justify="right", no_wrap=True)
    for length in question.lengths:
        cells = (table.cell(length, rows) for rows in question.batches)
        found.add_row(str(length), *(_peak(cell, question.card.reserved_bytes) for cell in cells))
    return found


def _peak(cell: Cell, context_bytes: int) -> Text:
    mark = mark_of(cell)
    text = f"{_gib(cell.plan.device_bytes(context_bytes))} {mark or ' '}"
    return Text(text, style=_STYLES.get(mark, "yellow"))


def mark_of(cell: Cell) -> str:
    """The key of `MARKS` for `cell`."""
    if not cell.fits:
        return NO
    if not cell.measures:
        return ""
    return "h" if cell.way.offload else "s" if cell.way.checkpointing == "selective" else "c"


def _legend(table: FitTable) -> Iterator[str]:
    used = {mark_of(cell) for cell in table.cells}
    told = {mark or "no mark": text for mark, text in MARKS.items() if mark in used}
    yield "; ".join(f"{translated(mark)}: {translated(text)}" for mark, text in told.items())
    if NO in used and len(table.question.ways) > 1:
        yield "Where it does not fit, the peak is the one with every measure taken."


def _reach(table: FitTable) -> Table:
    ways = list(dict.fromkeys(one.way for reach in table.reach.values() for one in reach))
    found = _table("Largest micro-batch, and what each more example takes")
    for way in ways:
        how = " + ".join(map(translated, way.measures)) or translated("as it is")
        found.add_column(how, justify="right", max_width=36)
    for length, reach in table.reach.items():
        at = {one.way: one for one in reach}
        found.add_row(str(length), *(_largest(at[way]) if way in at else "" for way in ways))
    return found


def _table(title: str) -> Table:
    """With its first column, the tokens."""
    found = Table(title=translated(title), title_justify="left", box=SIMPLE)
    found.add_column(translated("tokens"), justify="right")
    return found


def _largest(one: Reach) -> str:
    return f"{one.largest or translated('none')} (+{one.bytes_per_row / MIB:.1f} MiB)"


def _closing(table: FitTable, resolved: Resolved) -> Iterator[str]:
    question = table.question
    plan, context = table.cells[0].plan, question.card.reserved_bytes
    parts = {
        "weights": plan.weights_bytes,
        "gradients": plan.gradients_bytes,
        _optimizer(table.cells[0]): plan.optimizer_bytes,
        "CUDA context": context,
    }
    whole = " + ".join(f"{translated(name)} {_gib(size)}" for name, size in parts.items())
    yield f"Fixed: {whole} = {_gib(sum(parts.values()))} GiB; the rest grows with tokens and micro-batch."
    yield from _own(table, resolved)
    yield "Taken for granted:"
    yield from (f"- {note}" for note in question.notes)


def _optimizer(cell: Cell) -> str:
    return "optimizer (in host memory)" if cell.request.optimizer.endswith("_offload") else "optimizer"


def _own(table: FitTable, resolved: Resolved) -> Iterator[str]:
    """A line on the configuration itself, where it names a length or a batch and the table shows it."""
    config, question = resolved.config, table.question
    length, rows = config.model.max_sequence_length, config.micro_batch_size
    asked = asks_for(resolved, "model.max_sequence_length", "training.batch_size")
    if asked and length in question.lengths and rows in question.batches:
        cell = table.cell(length, rows)
        size = _gib(cell.plan.device_bytes(question.card.reserved_bytes))
        yield f"This configuration, {length} tokens by {rows}: {size} GiB, {MARKS[mark_of(cell)]}."


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}"
