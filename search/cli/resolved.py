"""A resolved configuration as YAML that says where each value came from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer import Resolved

_SECTION = re.compile(r"(\w+):")
_KEY = re.compile(r"  (\w+):")


def annotated_yaml(resolved: Resolved) -> str:
    """The configuration as YAML; a value that is no default has its origin in a comment."""
    from trainer import dump_config

    return "".join(_annotated(dump_config(resolved.config).splitlines(), resolved.origins))


def _annotated(lines: list[str], origins: Mapping[str, str]) -> Iterator[str]:
    section = ""
    for line in lines:
        if match := _SECTION.match(line):
            section = match[1]
        key = _KEY.match(line)
        origin = origins.get(f"{section}.{key[1]}", "default") if key else "default"
        yield f"{line}\n" if origin == "default" else f"{line:<44} # {origin}\n"
