"""What pydantic found wrong, said in the words of someone who wrote a YAML file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from trainer.config.yaml import closest

_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_BOUNDS = {
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}

#: what pydantic puts behind the place of a value that each of several types refuses
_MEMBER = re.compile(r"bool|int|float|str|literal\[.*\]")


def by_value(found: ValidationError) -> list[dict[str, Any]]:
    """The errors, one for each value: of what no type of several takes pydantic has one for each type."""
    errors: list[dict[str, Any]] = []
    for error in (dict[str, Any](one) for one in found.errors()):
        *at, last = error["loc"]
        if not _MEMBER.fullmatch(str(last)):
            errors.append(error)
        elif errors and errors[-1]["type"] == "union" and errors[-1]["loc"] == tuple(at):
            errors[-1]["ctx"]["expected"] += _choices(error)
        else:
            choices = {"expected": _choices(error)}
            errors.append({"type": "union", "loc": tuple(at), "input": error["input"], "ctx": choices})
    return errors


def _choices(error: Mapping[str, Any]) -> list[str]:
    """The values that are all there are of a type: of text and numbers there is no end."""
    if error["type"] == "bool_type":
        return ["true", "false"]
    return re.findall(r"'([^']*)'", error.get("ctx", {}).get("expected", ""))


def explain(error: Mapping[str, Any], *, model: type[BaseModel], written: str | None = None) -> str:
    """One error of `by_value`, of `model`, as a line with its remedy.

    `written` is the unquoted word in the file, which tells a yes/no from a true/false.
    """
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        *parents, word = error["loc"]
        return f"unknown key{did_you_mean(str(word), _known_keys(model, parents))}"
    if kind in _WANTED:
        return _wrong_type(kind, value, written=written)
    if kind == "literal_error":
        return _wrong_choice(value, _choices(error), written=written)
    if kind == "union":
        return _wrong_in_all(value, context["expected"], written=written)
    if kind in _BOUNDS:
        return f"must be {_BOUNDS[kind].format(**context)}, not {show(value)}"
    if kind == "value_error":
        return str(context["error"])
    plain = {
        "missing": f"{error['loc'][-1]} is missing",
        "finite_number": "must be a finite number",
        "string_unicode": "holds half of a character (a lone surrogate); correct the text",
        "string_too_short": "must not be empty",
        "too_short": f"too few entries; it needs at least {context.get('min_length')}",
    }
    return plain.get(kind) or str(error["msg"])


def show(value: Any) -> str:
    """`value` as one would write it in YAML, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """ "; did you mean X?", or nothing."""
    near = closest(word, known)
    return f"; did you mean {near}?" if near else ""


def _known_keys(model: type[BaseModel], parents: Sequence[str | int]) -> list[str]:
    """The keys of the model that lies under `parents`, found through its annotations."""
    kind: Any = model
    for part in parents:
        fields = getattr(kind, "model_fields", {})
        # Under a mapping of models (task name -> task) the name leads to the model itself.
        kind = _without_none(fields[part].annotation) if part in fields else (get_args(kind) or [kind])[-1]
    return list(getattr(kind, "model_fields", {}))


def _without_none(kind: Any) -> Any:
    parts = [part for part in get_args(kind) if part is not type(None)]
    return parts[0] if type(None) in get_args(kind) and len(parts) == 1 else kind


def _wrong_type(kind: str, value: Any, *, written: str | None) -> str:
    wanted = _WANTED[kind]
    if kind == "string_type" and isinstance(value, bool | int | float):
        return _quote_it(value, written=written)
    if kind in ("int_type", "float_type") and isinstance(value, str):
        return _number_as_text(wanted, value, written=written)
    if kind.startswith("int") and isinstance(value, float) and value.is_integer():
        return f"must be a whole number, not {value}; write {int(value)}"
    return f"must be {wanted}, not {show(value)}"


def _quote_it(value: bool | int | float, *, written: str | None) -> str:
    word = written or show(value)
    meaning = show(value) if isinstance(value, bool) else "a number"
    return f'must be text, but {word} means {meaning} in YAML; quote it: "{word}"'


def _number_as_text(wanted: str, value: str, *, written: str | None) -> str:
    try:
        float(value)
    except ValueError:
        return f"must be {wanted}, not {show(value)}"
    if written is None:
        return f"must be {wanted}, but {show(value)} is text; remove the quotes: {value}"
    return f"must be {wanted}; {value} is no plain number in YAML, remove leading zeros and blanks"


def _wrong_choice(value: Any, choices: list[str], *, written: str | None) -> str:
    if isinstance(value, bool) and written and written.lower() not in ("true", "false"):
        return f"must be one of {', '.join(choices)}; {written} means {show(value)} in YAML"
    near = did_you_mean(value, choices) if isinstance(value, str) else ""
    return f"must be one of {', '.join(choices)}, not {show(value)}{near}"


def _wrong_in_all(value: Any, choices: list[str], *, written: str | None) -> str:
    if choices != ["true", "false"]:
        return _wrong_choice(value, choices, written=written)
    return "a choice must be a plain word, a number, true, false or null"
