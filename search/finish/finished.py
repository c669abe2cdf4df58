"""The finished model of a study in short, or why there is none; read back without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from search.history import History

#: below the study's directory: what `search.finish.stored` describes
FINAL = "final"
#: below `final/`: which part died too often to be begun again
GIVEN_UP = "given-up.json"


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
    path = study_directory / FINAL / "final.json"
    if not path.is_file():
        return None
    # Only here: what a record holds is NumPy's and Pydantic's, and most looks are at a running search.
    from search.finish.final import Final
    from search.finish.record import read_record
    from search.finish.words import verdict

    final = read_record(path, Final)
    if final is None or final.model_dir is None:
        return None
    # Written as seen from where the run was started; the reader may stand elsewhere.
    model = study_directory / FINAL / Path(final.model_dir).name
    return Finished(
        trial=final.trial,
        model_dir=str(model) if model.is_dir() else None,
        eval_f1_macro=final.eval_f1_macro,
        test_f1_macro=final.test_f1_macro,
        baseline_f1_macro=final.baseline_f1_macro,
        verdict=verdict(final),
    )


def note_given_up(study_directory: Path, died: str, *, directory: Path) -> None:
    """Leave word that the part at work in `directory`, below the study's, is not begun again by itself."""
    from trainer import write_json

    home = study_directory / FINAL
    home.mkdir(parents=True, exist_ok=True)
    write_json(home / GIVEN_UP, {"died": died, "directory": str(directory.relative_to(study_directory))})


def read_given_up(study_directory: Path) -> str | None:
    """Which part died too often, of what and how often; None: none, or it went on since."""
    try:
        found = json.loads((study_directory / FINAL / GIVEN_UP).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return str(found["died"]) if History(study_directory / found["directory"]).deaths() else None
