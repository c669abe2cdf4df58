"""What a command needs beside a study's name to find it."""

from __future__ import annotations

from pathlib import Path

from search.storage.url import sqlite_path, without_password


def directory_flag(directory: str) -> str:
    """` --studies-dir DIR` for a study whose trials lie in `directory`; empty where that is the default."""
    home = Path(directory).parent
    return "" if home == Path("studies") else f" --studies-dir {_quoted(str(home))}"


def flags(directory: str, storage: str) -> str:
    """The same and ` --storage URL`, where the study is in no file beside its trials.

    storage: its URL; a password, masked or not, is left to PGPASSWORD or ~/.pgpass.
    """
    file, home = sqlite_path(storage), Path(directory)
    beside = file is not None and file.resolve() == home.with_name(f"{home.name}.db").resolve()
    return directory_flag(directory) + ("" if beside else f" --storage {_quoted(without_password(storage))}")


def _quoted(word: str) -> str:
    """Double quotes are understood by every shell, Windows' too."""
    return f'"{word}"' if " " in word else word
