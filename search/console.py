"""What a person sees while a search runs: lines on stderr, and on a terminal a bar for each trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from search.language import translated
from search.values import metrics_line, values_line

if TYPE_CHECKING:
    from search.verdict import Verdict

_STYLES = {"COMPLETE": "green", "PRUNED": "yellow", "FAIL": "red"}


class ConsoleAudience:
    """Shows a search on `console`: one line per evaluation and per finished trial, a bar if it can."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._tasks: dict[int | None, TaskID] = {}

    def __enter__(self) -> ConsoleAudience:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """One line, above the bar."""
        print_line(self._console, Text(line))

    def trial_started(self, number: int, *, values: Mapping[str, Any], resumed: bool) -> None:
        """What the trial tries."""
        tried = values_line(values)
        self.say(f"Trial {number} goes on: {tried}" if resumed else f"Trial {number} starts: {tried}")
        self._hide(None)
        self._bar.update(self._task(number), completed=0, total=None, description=f"Trial {number}")

    def progress(self, done: int, total: int, status: str, *, number: int | None = None) -> None:
        """Move the trial's bar; without one nothing is printed, the evaluations tell enough."""
        line = status if number is None else f"Trial {number} | {status}"
        self._bar.update(self._task(number), completed=done, total=total, description=translated(line))

    def evaluated(self, number: int, *, step: int, metrics: Mapping[str, float]) -> None:
        """One line for an evaluation; a run that reports says none itself."""
        self.say(f"Trial {number} | {metrics_line(step, metrics)}")

    def trial_ended(self, number: int, *, verdict: Verdict, best: FrozenTrial | None) -> None:
        """One line for a trial: number, state, value, best so far, cause."""
        print_line(self._console, ending_line(number, verdict=verdict, best=best))
        self._hide(number)

    def trial_paused(self, number: int) -> None:
        """Its bar goes; it comes back when the trial goes on."""
        self._hide(number)

    def _task(self, number: int | None) -> TaskID:
        """The bar of a trial (None: of something else)."""
        if number not in self._tasks:
            self._tasks[number] = self._bar.add_task("", total=None)
        return self._tasks[number]

    def _hide(self, number: int | None) -> None:
        task = self._tasks.pop(number, None)
        if task is not None:
            self._bar.remove_task(task)


@contextmanager
def open_audience(console: Console | None = None) -> Iterator[ConsoleAudience]:
    """An audience on `console` (None: stderr) for as long as the block runs."""
    with ConsoleAudience(console or Console(stderr=True)) as audience:
        yield audience


def print_line(console: Console, line: Text) -> None:
    """Print one line, in the user's language, that stays one line in a file."""
    console.print(_translated(line), soft_wrap=True, highlight=False)


def _translated(line: Text) -> Text:
    """The line in the user's language; what was coloured stays so where the same word stands in it."""
    shown = Text(translated(line.plain))
    for span in line.spans:
        shown.highlight_words([line.plain[span.start : span.end]], style=span.style)
    return shown


def ending_line(number: int, *, verdict: Verdict, best: FrozenTrial | None) -> Text:
    """`Trial 7 PRUNED (oom). Best so far: 0.8423 (trial 3)`; the state coloured."""
    state = verdict.state.name
    value = f" {verdict.value:.4f}" if verdict.value is not None else ""
    # A trial that was pruned by its pruner is said to be PRUNED, once.
    told = [part for part in (verdict.cause, verdict.error) if part and part != state.lower()]
    causes = list(map(translated, told))
    ending = f"{state}{value}" + (f" ({': '.join(causes)})" if causes else "")
    line = f"Trial {number} {ending}"
    if best is not None and best.value is not None:
        line = f"Trial {number} {ending}. Best so far: {best.value:.4f} (trial {best.number})"
    shown = Text(line)
    shown.highlight_words([state], style=_STYLES.get(state, ""))
    return shown
