"""What a study was started with, kept beside its trials: for `retrain`, and for the reader."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.storage.url import sqlite_path, sqlite_url, without_password
from trainer import UserError, write_json

if TYPE_CHECKING:
    from search.space import Space

#: in the study's directory
ORIGIN = "origin.json"


@dataclass(frozen=True)
class Origin:
    """space: path of its file, text: what stood in it. settings: the --set values. storage_url: without its
    password."""

    space: str
    text: str
    name: str
    storage_url: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def load_space(self, *, say: Callable[[str], None]) -> Space:
        """The space as it reads today or, where its file is no more, as the last run read it.

        Raises ConfigError.
        """
        # Who lists studies reads no space.
        from search.space import load_space, parse_space

        path = Path(self.space)
        if path.is_file() or not self.text:
            space = load_space(self.space, settings=self.settings)
        else:
            say(f"There is no {path} here: the space is read as the study's last run had it ({ORIGIN})")
            space = parse_space(self.text, path=path, settings=self.settings)
        return replace(space, name=self.name)


def write_origin(directory: Path, space: Space, *, storage_url: str, settings: Mapping[str, Any]) -> None:
    """Remember what was typed; the storage's password is not kept."""
    write_json(
        directory / ORIGIN,
        {
            "space": str(space.path.resolve()),
            "settings": dict(settings),
            "name": space.name,
            "storage": without_password(storage_url),
            "space_text": space.path.read_text(encoding="utf-8"),
        },
    )


def read_origin(directory: Path) -> Origin:
    """What the study in `directory` was started with; its storage is the file beside it, where one lies.

    A directory that was copied or moved with its file remembers where that lay before.

    Raises:
        UserError: there is none; the message lists those beside it.
    """
    try:
        found = json.loads((directory / ORIGIN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        there = ", ".join(sorted(p.parent.name for p in directory.parent.glob(f"*/{ORIGIN}"))) or "none"
        raise UserError(f"no study {directory.name} in {directory.parent}; there are: {there}") from error
    url = _beside(directory, without_password(found["storage"]))
    return Origin(found["space"], found.get("space_text", ""), found["name"], url, found["settings"])


def _beside(directory: Path, storage_url: str) -> str:
    file, neighbour = sqlite_path(storage_url), directory.with_name(f"{directory.name}.db")
    moved = file is not None and file.name == neighbour.name and neighbour.is_file()
    return sqlite_url(neighbour) if moved else storage_url
