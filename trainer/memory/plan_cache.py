"""Plans on disk, by everything they depend on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import trainer
from trainer.files import write_json
from trainer.memory.plan import Plan
from trainer.memory.request import PlanRequest

#: whose source decides what a plan says: the step that is traced, and what traces and replays it
_SOURCES = (
    *("step.py", "loss.py", "optimizer.py", "offload.py"),
    *("model/build.py", "model/classifier.py", "model/tiny.py", "model/vocabulary.py"),
    *("memory/allocator.py", "memory/meter.py", "memory/plan.py", "memory/planned_optimizer.py"),
    *("memory/rehearsal.py", "memory/request.py", "memory/semantics.py", "memory/trace.py"),
)


class PlanCache:
    """One small JSON file per plan in `directory`; a file that cannot be used is as good as none."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, request: PlanRequest) -> Plan | None:
        """The plan that was kept for `request`, by this version of everything."""
        path = self._path(request)
        try:
            return Plan(**json.loads(path.read_text(encoding="utf-8"))["plan"])
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):  # torn, or written by something else: made anew
            return None

    def put(self, request: PlanRequest, plan: Plan) -> None:
        """Keep `plan`, with what it was made from."""
        self._directory.mkdir(parents=True, exist_ok=True)
        record = {"versions": self._versions, "request": request.as_dict(), "plan": asdict(plan)}
        write_json(self._path(request), record)

    def _path(self, request: PlanRequest) -> Path:
        key = json.dumps([self._versions, request.as_dict()], sort_keys=True)
        return self._directory / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    @cached_property
    def _versions(self) -> dict[str, str]:
        found = {name: version(name) for name in ("torch", "transformers")}
        return {**found, "source": source_fingerprint()}


def source_fingerprint() -> str:
    """Changes when the step, the model or the planner changes; not with the tables and views around them."""
    root = Path(trainer.__file__).parent
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((root / name).read_bytes())
    return digest.hexdigest()[:16]
