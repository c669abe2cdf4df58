"""What pydantic and PyYAML refuse is said in our words: settings, spaces, values of flags, and files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
import typer
from pydantic import BaseModel, ValidationError
from typer.core import TyperGroup

from search.cli.app import build_app
from search.dimension import FORMS
from search.language import catalogue
from search.language.choice import LANGUAGES
from search.space_file import SpaceFile
from trainer import Config, Document, by_value, explain

OTHERS = [language for language in LANGUAGES if language != "en"]
MODELS: tuple[type[BaseModel], ...] = (Config, SpaceFile, *FORMS.values())
#: what a YAML file can hold; \ud800 is half of a character
ATOMS = (None, True, 0, -1, 2**40, 1.5, -1.5, math.inf, math.nan, "", "x", "1", "\ud800")
VALUES: tuple[Any, ...] = (*ATOMS, [], {}, [[]], {"x": []}, {"": 1}, {"\ud800": 1})
#: what can be typed after a flag; \udcff is a byte that is not UTF-8
TEXTS = ("", "x", "-1", "0", "1.5", "1e99", "nan", "99999", "9" * 5000, "\udcff", "traditional")

#: of pydantic's schemas: what each part may refuse, by pydantic's names; a part that refuses nothing has none
PARTS: dict[str, set[str]] = {
    "str": {"string_type", "string_unicode"},
    "int": {"int_type"},
    "float": {"float_type", "finite_number"},
    "bool": {"bool_type"},
    "list": {"list_type"},
    "dict": {"dict_type"},
    "model": {"model_type", "extra_forbidden"},
    "model-field": {"missing"},
    "literal": {"literal_error"},
    "union": {"union"},
    "gt": {"greater_than"},
    "ge": {"greater_than_equal"},
    "lt": {"less_than"},
    "le": {"less_than_equal"},
    "str min_length": {"string_too_short"},
    "list min_length": {"too_short"},
    "function-after": {"value_error"},
    "function-before": {"value_error"},
    **{name: set() for name in ("model-fields", "default", "nullable", "any")},
    **{name: set() for name in ("definitions", "definition-ref")},
}
#: of a node of such a schema: what makes it refuse more
LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
#: files that are cut off, badly indented, or hold what YAML does not know
BROKEN = (
    *("a: [1\n", "a: {b: 1\n", "a: b: c\n", "a: 'b\n", 'a: "b\n', 'a: "\\q"\n', "a\nb: 1\n"),
    *("a:\n  b: 1\n c: 2\n", "- 1\na: 2\n", "a: - 1\n", "a: @b\n", "a: %b\n", "a: *b\n", "a: &\n", "a: |x\n"),
    *(
        "a: 1\n---\nb: 1\n",
        "a: !x!y 1\n",
        "a: 1\n  b: 2\n",
        "a: {b: 1]\n",
        "a: [1}\n",
        "a: ]\n",
        "? a: 1: 2\n",
    ),
    *("a:\n  - 1\n  b: 2\n", "a: &x 1\nb: &x 2\nc: *x\n", "\t a: 1\n", "a: 'b\n---\nc: 1\n"),
)
QUOTED = re.compile(r"'[^']*'|<[^>]*>")
WORDS = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,}")


def test_every_kind_of_refusal_that_the_schemas_know_is_met_here() -> None:
    parts = {part for model in MODELS for part in _parts(model.__pydantic_core_schema__)}
    assert {part for part in parts if part not in PARTS} == set(), "what do these refuse?"
    wanted = set().union(*(PARTS[part] for part in parts))
    assert {error["type"] for _, error in _refusals()} == wanted


def test_no_setting_is_refused_in_pydantic_s_words() -> None:
    assert {
        error["type"] for model, error in _refusals() if explain(error, model=model) == error.get("msg")
    } == set()


@pytest.mark.parametrize("language", OTHERS)
def test_a_refused_setting_is_told_whole_in_the_user_s_language(language: str) -> None:
    known = catalogue.load(language)
    lines = {explain(error, model=model) for model, error in _refusals()}
    for line in lines:
        said = known.line(f"space.yaml:3:1: seed: {line}")
        assert said.startswith("space.yaml:3:1: seed: ")
        assert line not in said
        assert not WORDS.search(said), said


@pytest.mark.parametrize("language", OTHERS)
def test_a_refused_value_of_a_flag_is_told_whole_in_the_user_s_language(language: str) -> None:
    known = catalogue.load(language)
    lines = set(_refused_flags())
    assert len(lines) > 20
    for line in lines:
        assert not WORDS.search(known.line(f"Error: {line}")), line


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_is_no_yaml_is_told_whole_in_the_user_s_language(text: str, language: str) -> None:
    (problem,) = Document.parse(text, file="a.yaml").problems
    said = catalogue.load(language).line(str(problem))
    assert not WORDS.search(QUOTED.sub("", said)), said


def _refusals() -> Iterator[tuple[type[BaseModel], dict[str, Any]]]:
    """Every error of every model, with every value everywhere."""
    for model in MODELS:
        for spot in filter(None, _spots(model)):
            for value in VALUES:
                try:
                    model.model_validate(_at(spot, value))
                except ValidationError as error:
                    yield from ((model, one) for one in by_value(error))


def _spots(kind: Any) -> Iterator[tuple[str | int, ...]]:
    """Where a value can stand in a model: its keys, keys of models in it, items of lists and mappings."""
    yield ()
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            yield from ((field.alias or name, *inner) for inner in _spots(field.annotation))
    elif get_origin(kind) is list:
        yield from ((0, *inner) for inner in _spots(get_args(kind)[0]))
    elif get_origin(kind) is dict:
        yield from (("x", *inner) for inner in _spots(get_args(kind)[1]))


def _bare(kind: Any) -> Any:
    """Without Annotated and None."""
    while True:
        parts = [part for part in get_args(kind) if part is not type(None)]
        is_optional = get_origin(kind) in (Union, UnionType) and len(parts) == 1
        if not is_optional and get_origin(kind) is not Annotated:
            return kind
        kind = parts[0]


def _at(spot: tuple[str | int, ...], value: Any) -> Any:
    for part in reversed(spot):
        value = [value] if part == 0 else {part: value}
    return value


def _parts(schema: Any) -> Iterator[str]:
    """The parts of a schema of pydantic's core that may refuse something."""
    if isinstance(schema, list | tuple):
        for one in schema:
            yield from _parts(one)
    if not isinstance(schema, dict):
        return
    kind = schema.get("type")
    if isinstance(kind, str):
        yield kind
        for limit in LIMITS:
            if limit in schema:
                yield limit if limit in PARTS else f"{kind} {limit}"
    for key, inner in schema.items():
        if key not in ("metadata", "serialization", "config", "function"):
            yield from _parts(inner)


def _refused_flags() -> Iterator[str]:
    """What typer says of every text after every flag of every command."""
    for command in _commands(typer.main.get_command(build_app())):
        context = command.make_context("x", [], resilient_parsing=True)
        for flag in command.params:
            for text in TEXTS:
                value = [text] if flag.multiple or flag.nargs == -1 else text
                try:
                    flag.get_runtime_param().coerce(value, param=flag, ctx=context)
                except typer.BadParameter as error:
                    error.param = flag  # as typer does on the way out
                    yield error.format_message()


def _commands(command: Any) -> Iterator[Any]:
    yield command
    if isinstance(command, TyperGroup):
        for inner in command.commands.values():
            yield from _commands(inner)
