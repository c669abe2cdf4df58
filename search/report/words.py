"""The report's words: one table a language, in `assets/`, and the numbers that go into them.

Every key is in every table, with the same placeholders; a test holds them to that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@dataclass(frozen=True)
class Words:
    """The words of one language: `words("history.alt", trials=3)`."""

    language: str
    table: dict[str, str]

    def __call__(self, key: str, **values: Any) -> str:
        """The text under `key` with `values` put in. Raises KeyError: no such key, or a value is missing."""
        return self.table[key].format(**values)

    def has(self, key: str) -> bool:
        """Is there a text under `key`?"""
        return key in self.table

    def duration(self, seconds: float) -> str:
        """`42 s`, `3 min 20 s`, `2 h 5 min`."""
        whole = round(seconds)
        if whole < 60:
            return self("time.s", s=whole)
        if whole < 3600:
            return self("time.min", min=whole // 60, s=whole % 60)
        return self("time.h", h=whole // 3600, min=whole % 3600 // 60)


def words_in(language: str) -> Words:
    """The words of one of `search.language.LANGUAGES`."""
    return Words(language, table(language))


@cache
def table(language: str) -> dict[str, str]:
    """key -> text, nested keys joined by dots."""
    text = files("search.report").joinpath("assets", f"words.{language}.yaml").read_text(encoding="utf-8")
    return _flat(yaml.safe_load(text))


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat
