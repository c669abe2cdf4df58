"""The whole examination."""

from __future__ import annotations

from pathlib import Path

from search.doctor.finding import Diagnosis
from search.doctor.hardware import hardware
from search.doctor.places import places
from search.doctor.software import software


def examine(studies_dir: Path, *, storage: str | None = None) -> Diagnosis:
    """Look at software, hardware and places; changes nothing. `storage`: a URL to try as well."""
    return Diagnosis([*software(), *hardware(), *places(studies_dir, storage=storage)])
