"""What runs on a card measured, held against what was planned for them; used by the next plans.

It only ever raises a plan: a run whose texts were short stays below its plan and proves nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from trainer.files import write_json

#: a plan that is further off than this is wrong in kind, not in degree; it is warned about, not stretched
LARGEST = 1.25
#: measured over predicted from which a person is told
WARN_RATIO = 1.20


@dataclass(frozen=True)
class Calibration:
    """A small JSON file: circumstances -> the largest ratio of measured to predicted peak seen there."""

    path: Path

    def factor(self, key: str) -> float:
        """What to multiply a plan by: 1 to `LARGEST`."""
        return min(LARGEST, max(1.0, self._ratios().get(key, 1.0)))

    def knows(self, key: str) -> bool:
        """True if a run of this kind was ever measured."""
        return key in self._ratios()

    def learn(self, key: str, *, predicted_bytes: int, measured_bytes: int) -> float:
        """Remember a run; `predicted_bytes` before any calibration. Returns the ratio."""
        ratio = measured_bytes / predicted_bytes
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock"):
            ratios = self._ratios()
            if ratio > ratios.get(key, 0.0):
                write_json(self.path, {**ratios, key: round(ratio, 4)})
        return ratio

    def _ratios(self) -> dict[str, float]:
        try:
            found: dict[str, float] = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return found


def calibration_key(*, device: str, card: str, precision: str) -> str:
    """The circumstances that a ratio holds for."""
    return f"{device} | {card} | {precision}"
