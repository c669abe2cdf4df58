"""One thing the doctor looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from search.language import cells, padded, translated

#: ok: as it should be; note: works, with a limit worth knowing; fault: something will not work
State = Literal["ok", "note", "fault"]


#: columns of a terminal that the state takes
_STATE = 7


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and, where it is not well, what to do."""

    subject: str
    state: State
    found: str
    remedy: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was looked at, in the order of the report."""

    findings: Sequence[Finding]

    @property
    def faults(self) -> int:
        """How many findings will keep something from working."""
        return sum(finding.state == "fault" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The one document of `doctor --json`."""
        return {"faults": self.faults, "findings": [asdict(finding) for finding in self.findings]}

    def lines(self) -> list[str]:
        """One line a finding, the remedy below it, and a last line that sums up."""
        subjects = [translated(finding.subject) for finding in self.findings]
        width = max(map(cells, subjects)) + 2
        lines: list[str] = []
        for finding, subject in zip(self.findings, subjects, strict=True):
            state = padded(translated(finding.state), to=_STATE)
            lines.append(f"{state}{padded(subject, to=width)}{translated(finding.found)}")
            if finding.remedy:
                lines.append(f"{' ' * (_STATE + width)}-> {translated(finding.remedy)}")
        return [*lines, "", self._summary()]

    def _summary(self) -> str:
        if self.faults:
            return f"{self.faults} to mend; the arrows say how"
        return "Nothing to mend"
