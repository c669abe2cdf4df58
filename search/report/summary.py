"""What a study came to, for a script and for a person."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search.finish.final import Final
from search.finish.whereabouts import Whereabouts
from search.finish.words import closing_lines, labelled, verdict
from search.language import translated
from search.report.reach import flags
from search.storage.url import masked
from search.study import StudyHandle, best_trial
from search.values import values_line
from search.worker import count_states


@dataclass(frozen=True)
class StudyReport:
    """How a study stands after a run. best: {number, value, params}, None before the first COMPLETE.

    elsewhere: the finished model where another machine has made it, and not this one.
    """

    study: str
    storage: str
    directory: str
    trials: dict[str, int]
    best: dict[str, Any] | None
    final: Final | None
    elsewhere: Whereabouts | None = None
    seconds: float = 0.0
    interrupted: bool = False

    def to_json(self) -> dict[str, Any]:
        """The one document of `run --json`."""
        document = asdict(self)
        document["storage"] = masked(self.storage)
        return document

    def lines(self) -> list[str]:
        """What a person wants to know at the end: how good, where it lies, what to type next."""
        first = verdict(self.final) if self.final is not None else ""
        lines = [*self._best_lines(), *self._final_lines(), *self._next_lines()]
        return [first, *lines] if first else lines

    def _best_lines(self) -> list[str]:
        counts = ", ".join(f"{count} {translated(state)}" for state, count in self.trials.items())
        lines = [f"Study {self.study}: {counts}; {self.seconds:.0f} s in this run"]
        if self.best is None:
            return [*lines, "No trial completed, so there is nothing to retrain or export."]
        number, value = self.best["number"], self.best["value"]
        values = values_line(self.best["params"])
        return [*lines, f"Best trial {number}: eval_f1_macro {value:.4f} ({values})"]

    def _final_lines(self) -> list[str]:
        if self.elsewhere is not None:
            return [
                f"The final model was made on {self.elsewhere.host}: {self.elsewhere.model_dir}; "
                f"cp-search retrain {self.study} makes one here"
            ]
        final = self.final
        if final is None:
            return []
        if final.model_dir is None:
            return [f"The final model was not made: {final.status}. {final.error or ''}".rstrip()]
        return closing_lines(final)

    def _next_lines(self) -> list[str]:
        lines = [labelled("Study", masked(self.storage)), labelled("Trials", self.directory), "Next:"]
        if self.final is not None and self.final.model_dir is not None:
            lines.append(f'  cp-search predict {self.final.model_dir} "你的文字"')
        found = flags(self.directory, masked(self.storage))
        return [*lines, f"  cp-search report {self.study}{found}", f"  cp-search dashboard{found}"]


def summarise(handle: StudyHandle, directory: Path, *, final: Final | Whereabouts | None) -> StudyReport:
    """How the study stands now; `directory` holds its trials."""
    best = best_trial(handle)
    return StudyReport(
        study=handle.name,
        storage=handle.storage_url,
        directory=str(directory),
        trials=count_states(handle),
        best={"number": best.number, "value": best.value, "params": best.params} if best else None,
        final=final if isinstance(final, Final) else None,
        elsewhere=final if isinstance(final, Whereabouts) else None,
    )
