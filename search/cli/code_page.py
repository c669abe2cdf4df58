"""Terminals and pipes that are not UTF-8: what they cannot hold is escaped."""

from __future__ import annotations

import codecs
import io
import sys
from typing import TextIO


def holds_all_text(stream: TextIO) -> bool:
    """Can every character be written to `stream`?"""
    return codecs.lookup(stream.encoding).name.startswith("utf")


def escape_what_cannot_be_shown() -> None:
    """A code page without Chinese, or without simplified characters, costs a character, not the run."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not holds_all_text(stream):
            stream.reconfigure(errors="backslashreplace")
