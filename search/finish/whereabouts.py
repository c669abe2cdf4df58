"""Where the finished models of a study lie, as its storage knows it: for machines that share no directory."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer import write_text

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

#: system attribute of a study: {"of": what was to be finished, "models": [a `Whereabouts` each]}
MODELS = "cp_search:models"
#: in a study's directory: a name of it that is the same on every host, and in every container, that has it
IDENTITY = ".identity"


@dataclass(frozen=True)
class Whereabouts:
    """A finished model: the host that made it and the directory there.

    made_from: key of its `final.json`. home: identity of the study's directory that it lies in.
    """

    host: str
    model_dir: str
    made_from: str
    home: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """Host and directory."""
        return self.host, self.model_dir

    def lies_in(self, study: Path) -> bool:
        """Was it made in this directory of the study, under whatever host name that was?"""
        return self.home != "" and self.home == _identity(study)

    def is_gone(self, study: Path) -> bool:
        """Was it deleted since? Of one on another host, outside of `study`, that is not known from here."""
        if self.lies_in(study):
            # As seen from here: a container may have the directory at another place.
            return not study.joinpath(*Path(self.model_dir).parts[-2:]).is_dir()
        return self.host == socket.gethostname() and not Path(self.model_dir).is_dir()


def made_here(study: Path, model_dir: str, *, made_from: str) -> Whereabouts:
    """A model on this host, in the directory `study`, which is given an identity if it has none.

    Whoever calls it has that directory's finish to himself.
    """
    home = _identity(study)
    if not home:
        home = uuid.uuid4().hex
        write_text(study / IDENTITY, f"{home}\n")
    return Whereabouts(socket.gethostname(), str(Path(model_dir).resolve()), made_from, home)


def _identity(study: Path) -> str:
    try:
        return (study / IDENTITY).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def note(study: Study, made: Whereabouts, *, of: str) -> None:
    """Add a model to those of the study; those of another finish than `of` are forgotten.

    Whoever notes one has the study's finish to himself.
    """
    before = _models(study, of=of)
    others = [one for one in before if one.home != made.home and one.place != made.place]
    found = [*others, made]
    if found != before:
        _write(study._storage, study._study_id, {"of": of, "models": [asdict(one) for one in found]})


def withdraw(study: Study, directory: Path, *, but: str | None) -> None:
    """Forget the study's model in `directory`, where one made from something else than `but` lies now."""
    document = _document(study._storage, study._study_id)
    found = [Whereabouts(**one) for one in document.get("models", [])]
    kept = [one for one in found if not one.lies_in(directory) or one.made_from == but]
    if kept != found:
        _write(study._storage, study._study_id, {**document, "models": [asdict(one) for one in kept]})


def follow(storage: BaseStorage, name: str, *, old: Path, new: Path) -> None:
    """The directory `old` of the study `name` is `new` now: models of this host in it are there."""
    study_id = storage.get_study_id_from_name(name)
    document = _document(storage, study_id)
    found = document.get("models", [])
    moved = [_followed(one, old=old, new=new) for one in found]
    if moved != found:
        _write(storage, study_id, {**document, "models": moved})


def _followed(one: dict[str, str], *, old: Path, new: Path) -> dict[str, str]:
    model = Path(one["model_dir"])
    is_ours = one["host"] == socket.gethostname() or Whereabouts(**one).lies_in(new)
    if not is_ours or not model.is_relative_to(old):
        return one
    return {**one, "model_dir": str(new / model.relative_to(old))}


def models(study: Study, *, directory: Path, of: str | None = None) -> list[Whereabouts]:
    """The models of the finish `of` (None: of the last one) that are there, the latest last.

    directory: of the study on this machine.
    """
    return _there(_models(study, of=of), directory)


def there(attributes: Mapping[str, Any], *, directory: Path) -> list[Whereabouts]:
    """The same of the last finish, from the study's system attributes."""
    return _there(_read(attributes.get(MODELS) or {}, of=None), directory)


def _there(found: list[Whereabouts], directory: Path) -> list[Whereabouts]:
    return [one for one in found if not one.is_gone(directory)]


def _models(study: Study, *, of: str | None) -> list[Whereabouts]:
    return _read(_document(study._storage, study._study_id), of=of)


def _read(document: Mapping[str, Any], *, of: str | None) -> list[Whereabouts]:
    if of is not None and document.get("of") != of:
        return []
    return [Whereabouts(**one) for one in document.get("models", [])]


def _document(storage: BaseStorage, study_id: int) -> dict[str, Any]:
    found: dict[str, Any] = storage.get_study_system_attrs(study_id).get(MODELS) or {}
    return found


def _write(storage: BaseStorage, study_id: int, document: dict[str, Any]) -> None:
    storage.set_study_system_attr(study_id, MODELS, document)


def key_in(final: Path) -> str | None:
    """What the finish that ended in `final.json` was made from; None: none ended there."""
    try:
        return str(json.loads(final.read_text(encoding="utf-8"))["made_from"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
