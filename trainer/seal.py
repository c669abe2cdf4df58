"""Checksums of the files of a directory, which say later whether they are still what was written."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path

from trainer.files import write_json

_SEAL = "checksums.json"
_CHUNK_BYTES = 2**20


def seal(directory: Path) -> None:
    """Write down the checksum of every file in `directory`."""
    write_json(directory / _SEAL, {path.name: _digest(path) for path in sorted(directory.iterdir())})


def damage(directory: Path) -> str | None:
    """What of a sealed directory is not as it was written, for a person; None: all of it is."""
    try:
        sealed = dict(json.loads((directory / _SEAL).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        return f"its {_SEAL} cannot be read ({type(error).__name__})"
    if not sealed:
        return f"its {_SEAL} names no file"
    changed = [name for name, digest in sealed.items() if not _is(directory / name, digest)]
    return f"{', '.join(changed)} is not what was written" if changed else None


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and _digest(path) == digest


def _digest(path: Path) -> str:
    found = blake2b(digest_size=16)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()
