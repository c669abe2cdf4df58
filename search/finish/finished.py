"""The finished model of a study in short, or why there is none; read back without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.finish.record import read_plain
from search.finish.words import standing
from search.history import History
from trainer import Interval, write_json

#: below the study's directory: what `search.finish.stored` describes
FINAL = "final"
#: below `final/`: which part died too often to be begun again
GIVEN_UP = "given-up.json"
#: fields of a `Final` that every record has (a test compares)
_WITHOUT_DEFAULT = ("status", "directory", "trial", "experiment_dir")


@dataclass(frozen=True)
class Finished:
    """Which model was made, and how good it is.

    model_dir: None where the export was deleted since. eval_f1_macro: on validation. test_f1_macro,
    baseline_f1_macro: None without test rows. verdict: the two in words; empty without them.
    """

    trial: int
    model_dir: str | None
    eval_f1_macro: float | None
    test_f1_macro: float | None
    baseline_f1_macro: float | None
    verdict: str

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of what a person wants to know of it."""
        where = self.model_dir or "deleted since; cp-search retrain makes it again"
        rows = [("Final model", where), ("", f"trial {self.trial}, retrained")]
        if self.verdict:
            return [*rows, ("", self.verdict)]
        if self.eval_f1_macro is not None:
            rows.append(("", f"validation macro-F1 {self.eval_f1_macro:.4f}; no test rows"))
        return rows


def read_finished(study_directory: Path) -> Finished | None:
    """What the finish of the study in `studies/NAME` made; None before its end."""
    home = study_directory / FINAL
    # Plainly: building the schema of a whole `Final`, and importing NumPy for its parts, takes half as long
    # again as all else that a glance does.
    found = read_plain(home / "final.json")
    try:
        # As `Final` is built: what has no default must be there.
        whole = found is not None and all(key in found for key in _WITHOUT_DEFAULT)
        return _in_short(found, home) if whole and found.get("model_dir") is not None else None
    except (AttributeError, KeyError, TypeError):  # of another version
        return None


def _in_short(final: Mapping[str, Any], home: Path) -> Finished:
    """Of the record of a `Final` that has a model."""
    # Written as seen from where the run was started; the reader may stand elsewhere.
    model = home / Path(final["model_dir"]).name
    return Finished(
        trial=final["trial"],
        model_dir=str(model) if model.is_dir() else None,
        eval_f1_macro=final.get("eval_f1_macro"),
        test_f1_macro=final.get("test_f1_macro"),
        baseline_f1_macro=final.get("baseline_f1_macro"),
        verdict=_verdict(final.get("evaluation"), final.get("comparison")),
    )


def _verdict(ours: Mapping[str, Any] | None, beside: Mapping[str, Any] | None) -> str:
    """As `search.finish.words.verdict`, of an `Assessment` and a `Comparison`."""
    if ours is None or beside is None:
        return ""
    theirs, ahead = beside["assessment"]["f1_macro"], beside["difference"]
    return standing(_interval(ours["f1_macro"]), _interval(theirs), ahead=_interval(ahead))


def _interval(found: Mapping[str, Any]) -> Interval:
    return Interval(found["value"], found["low"], found["high"])


def note_given_up(study_directory: Path, died: str, *, directory: Path) -> None:
    """Leave word that the part at work in `directory`, below the study's, is not begun again by itself."""
    home = study_directory / FINAL
    home.mkdir(parents=True, exist_ok=True)
    write_json(home / GIVEN_UP, {"died": died, "directory": str(directory.relative_to(study_directory))})


def read_given_up(study_directory: Path) -> str | None:
    """Which part died too often, of what and how often; None: none, or it went on since."""
    try:
        found = json.loads((study_directory / FINAL / GIVEN_UP).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    return str(found["died"]) if History(study_directory / found["directory"]).deaths() else None
