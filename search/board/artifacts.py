"""Files of trials as Optuna artifacts: read where they lie, or drawn when they are asked for; none is copied.

An artifact's id names the study's directory, the trial and the file, so the same file keeps its id.
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from optuna.artifacts.exceptions import ArtifactNotFound

from search.board.pictures import confusion, learning_curve
from search.finish.stored import read_stored
from search.report.facts import TrialFacts

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "cp-search artifact")


@dataclass(frozen=True)
class Artifact:
    """One file: its name and media type, and what makes its content when it is asked for."""

    path: Path
    media: str
    content: Callable[[], bytes]

    @property
    def id(self) -> str:
        """A UUID, the same for the same place."""
        return str(uuid.uuid5(_NAMESPACE, str(self.path)))

    def meta(self) -> str:
        """As Optuna keeps it in a trial's attributes."""
        about = {"artifact_id": self.id, "filename": self.path.name, "mimetype": self.media, "encoding": None}
        return json.dumps(about)


def trial_artifacts(trial: TrialFacts) -> list[Artifact]:
    """The configuration of a trial, and its learning curve."""
    if trial.directory is None:
        return []
    home, found = Path(trial.directory), []
    config = home / "config.yaml"
    if config.is_file():
        found.append(Artifact(config, "text/plain", config.read_bytes))
    if trial.reports:
        reports, title = dict(trial.reports), f"Trial {trial.number}: macro-F1 at each evaluation"
        drawn = home / "learning-curve.svg"
        found.append(Artifact(drawn, "image/svg+xml", lambda: learning_curve(reports, title=title).encode()))
    return found


def study_artifacts(directory: Path) -> list[Artifact]:
    """The confusion matrices of the final model on test."""
    stored = read_stored(directory)
    evaluation = stored.evaluation or (stored.final.evaluation if stored.final else None)
    found = []
    for task in evaluation.tasks if evaluation else ():
        counts, classes = task.confusion, [one.name for one in task.classes]
        title = f"{task.name} on test: rows are the truth"

        def drawn(
            counts: list[list[int]] = counts, classes: list[str] = classes, title: str = title
        ) -> bytes:
            return confusion(counts, classes, title=title).encode()

        found.append(Artifact(directory / f"confusion-{task.name}.svg", "image/svg+xml", drawn))
    return found


class Gallery:
    """An artifact store of the artifacts that were hung in it; nothing can be written or removed."""

    def __init__(self) -> None:
        self._hung: dict[str, Artifact] = {}

    def hang(self, artifact: Artifact) -> tuple[str, str]:
        """Make it available; the attribute, key and value, under which the dashboard finds it."""
        self._hung[artifact.id] = artifact
        return f"artifacts:{artifact.id}", artifact.meta()

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Its content. Raises ArtifactNotFound: it is not, or no longer, there."""
        try:
            return io.BytesIO(self._hung[artifact_id].content())
        except (KeyError, FileNotFoundError) as error:
            raise ArtifactNotFound(artifact_id) from error

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Refused."""
        raise PermissionError("artifacts are files of the trials; they are not written here")

    def remove(self, artifact_id: str) -> None:
        """Refused."""
        raise PermissionError("artifacts are files of the trials; they are not removed here")
