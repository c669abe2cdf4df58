"""Where the finished models of a study lie, as its storage knows it: for machines that share no directory."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

#: system attribute of a study: {"of": what was to be finished, "models": [a `Whereabouts` each]}
MODELS = "cp_search:models"


@dataclass(frozen=True)
class Whereabouts:
    """A finished model: the host that made it and the directory there. made_from: key of its `final.json`."""

    host: str
    model_dir: str
    made_from: str

    @property
    def place(self) -> tuple[str, str]:
        """Host and directory."""
        return self.host, self.model_dir

    @property
    def is_gone(self) -> bool:
        """Was it deleted since? Of another host's that is not known from here."""
        return self.host == socket.gethostname() and not Path(self.model_dir).is_dir()


def on_this_host(model_dir: str, *, made_from: str) -> Whereabouts:
    """A model on this host."""
    return Whereabouts(socket.gethostname(), str(Path(model_dir).resolve()), made_from)


def note(study: Study, made: Whereabouts, *, of: str) -> None:
    """Add a model to those of the study; those of another finish than `of` are forgotten.

    Whoever notes one has the study's finish to himself.
    """
    others = [
        one for one in _models(study, of=of) if (one.host, one.model_dir) != (made.host, made.model_dir)
    ]
    found = [*others, made]
    if found != _models(study, of=of):
        document: dict[str, Any] = {"of": of, "models": [asdict(one) for one in found]}
        study._storage.set_study_system_attr(study._study_id, MODELS, document)


def follow(storage: BaseStorage, name: str, *, old: Path, new: Path) -> None:
    """The directory `old` of the study `name` is `new` now: models of this host in it are there."""
    study_id = storage.get_study_id_from_name(name)
    found: dict[str, Any] = storage.get_study_system_attrs(study_id).get(MODELS) or {}
    moved = [_followed(one, old=old, new=new) for one in found.get("models", [])]
    if moved != found.get("models", []):
        storage.set_study_system_attr(study_id, MODELS, {**found, "models": moved})


def _followed(one: dict[str, str], *, old: Path, new: Path) -> dict[str, str]:
    model = Path(one["model_dir"])
    if one["host"] != socket.gethostname() or not model.is_relative_to(old):
        return one
    return {**one, "model_dir": str(new / model.relative_to(old))}


def models(study: Study, *, of: str | None = None) -> list[Whereabouts]:
    """The models of the finish `of` (None: of the last one) that are there, the latest last."""
    return [one for one in _models(study, of=of) if not one.is_gone]


def _models(study: Study, *, of: str | None) -> list[Whereabouts]:
    found: dict[str, Any] = study._storage.get_study_system_attrs(study._study_id).get(MODELS) or {}
    if of is not None and found.get("of") != of:
        return []
    return [Whereabouts(**one) for one in found.get("models", [])]


def key_in(final: Path) -> str | None:
    """What the finish that ended in `final.json` was made from; None: none ended there."""
    try:
        return str(json.loads(final.read_text(encoding="utf-8"))["made_from"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
