"""Every key of a configuration as a page of Markdown, read off the schema so that it cannot fall behind."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen

from trainer.config.layers import ALIASES
from trainer.config.schema import Config, Section, key_paths
from trainer.config.wording import show

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_HEADER = """# Configuration reference

Every key of every section, with its type, default and meaning. This page is written by
`python -m trainer.config.reference`; a test fails when it is not what the schema says.

What decides over what: template, then `--config` file, then flags and `--set section.key=value`; later wins.
`cp-search train --dry-run` prints every value with the place it came from.
"""
_WORDS: dict[Any, str] = {
    bool: "true / false",
    int: "whole number",
    float: "number",
    str: "text",
    NoneType: "null",
    Any: "value",
}
_SIGNS = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}


def reference() -> str:
    """The whole page."""
    sections = [_section(name) for name in Config.model_fields]
    return "\n".join([_HEADER, *sections, _aliases()])


def key_table(fields: Mapping[str, FieldInfo]) -> str:
    """A table in Markdown of keys with their type, default and description."""
    head = ["| key | type | default | meaning |", "|---|---|---|---|"]
    return "\n".join([*head, *(_row(key, field) for key, field in fields.items()), ""])


def _section(name: str) -> str:
    inner = {
        path.partition(".")[2]: field for path, field in key_paths().items() if path.partition(".")[0] == name
    }
    outer = Config.model_fields[name].annotation
    words = (outer.__doc__ or "").strip().splitlines()[0]
    return "\n".join([f"## {name}", "", words, "", key_table(inner)])


def _row(key: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else f"`{_shown(field)}`"
    limits = _limits(field)
    kind = _kind(field.annotation) + (f", {limits}" if limits else "")
    cells = (f"`{key}`", kind, default, field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _shown(field: FieldInfo) -> str:
    """A default as a file would say it, in as few words."""
    default = field.get_default(call_default_factory=True)
    return show(default.model_dump(exclude_defaults=True) if isinstance(default, Section) else default)


def _limits(field: FieldInfo) -> str:
    found = []
    for limit in field.metadata:
        sign = _SIGNS.get(type(limit))
        if sign:
            found.append(f"{sign} {_value_of(limit)}")
        elif isinstance(limit, MinLen) and limit.min_length > 1:
            found.append(f"at least {limit.min_length} of them")
    return ", ".join(found)


def _value_of(limit: Any) -> Any:
    """The number in one of annotated_types' limits: `Ge(ge=1)` -> 1."""
    return getattr(limit, type(limit).__name__.lower())


def _kind(annotation: Any) -> str:
    """The annotation in a reader's words: `int or null`, `cls / mean / last4`, `list of str`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_kind, arguments)))
    if origin is Literal:
        return " / ".join(map(str, arguments))
    if origin is list:
        return f"list of {_many(arguments[0])}"
    if origin is dict:
        return f"{_kind(arguments[0])} → {_kind(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "{" + ", ".join(field.alias or key for key, field in annotation.model_fields.items()) + "}"
    return _WORDS.get(annotation, str(annotation))


def _many(annotation: Any) -> str:
    """The kind of a list's items; of several kinds, in a word."""
    several = get_origin(annotation) in (Union, UnionType)
    return "values" if several or annotation is Any else _kind(annotation)


def _aliases() -> str:
    rows = [f"| `{also}` | `{key}` |" for also, key in sorted(ALIASES.items())]
    words = "Accepted in a second place too; both with different values is an error."
    return "\n".join(["## Second places", "", words, "", "| also read | means |", "|---|---|", *rows, ""])


if __name__ == "__main__":
    from pathlib import Path

    Path("docs/configuration.md").write_text(reference(), encoding="utf-8")
