"""Records: what a part of the finish leaves as JSON, whole, with the key of what it was made from.

A record whose key is another's is not one's own: the part is done again. A record that is there is never
made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from trainer import write_json

Kept = TypeVar("Kept")

_KEY, _FOUND = "made_from", "record"


def key_of(parts: Mapping[str, Any]) -> str:
    """A digest of everything a record depends on."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def write_record(path: Path, record: Any, *, key: str) -> None:
    """Leave `record` (a dataclass that JSON can hold) at `path`."""
    write_json(path, {_KEY: key, _FOUND: asdict(record)})


def read_record(path: Path, kind: type[Kept], *, key: str | None = None) -> Kept | None:
    """The `kind` that lies at `path`; None when there is none, it is another's, or of another version.

    key: what it must have been made from; None takes any.
    """
    # Only here, as who needs a few values of a record must start at once.
    from pydantic import TypeAdapter, ValidationError

    found = read_plain(path, key=key)
    try:
        return None if found is None else TypeAdapter(kind).validate_python(found)
    except ValidationError:
        return None


def read_plain(path: Path, *, key: str | None = None) -> Any:
    """The same as JSON has it, whatever it is a record of."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found[_FOUND] if key is None or found[_KEY] == key else None
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, KeyError, TypeError):
        return None
