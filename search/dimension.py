"""One dimension of a search space: what the file may say of it, and which values it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator

from trainer import (
    ALIASES,
    Config,
    Document,
    KeyPath,
    Problem,
    Section,
    by_value,
    check_value,
    did_you_mean,
    explain,
    key_paths,
    show,
    unknown_key,
)

Kind = Literal["float", "int", "categorical"]
Choice = bool | int | float | str | None


@dataclass(frozen=True)
class Dimension:
    """What is searched under one key path.

    type float or int: from `low` to `high`, both included, in steps of `step` if given, on a
    logarithmic scale if `log`. type categorical: one of `choices`. `when`: the dimension exists only
    in trials in which each of these other dimensions took one of the listed values.
    """

    type: Kind
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: list[Choice] | None = None
    when: dict[str, list[Choice]] | None = None

    def takes(self, value: Any) -> bool:
        """Can a trial be given `value` here?"""
        if self.choices is not None:
            return any(same(value, choice) for choice in self.choices)
        if self.low is None or self.high is None or not is_number(value):
            return False
        if self.type == "int" and not float(value).is_integer():
            return False
        return self.low <= value <= self.high and self._on_grid(value)

    def ends(self) -> list[tuple[KeyPath, Any]]:
        """The values that decide whether the configuration accepts them all, each with its key."""
        if self.choices is not None:
            return [(("choices", index), choice) for index, choice in enumerate(self.choices)]
        return [(("low",), self.low), (("high",), self.high)]

    def as_dict(self) -> dict[str, Any]:
        """The dimension as the space file would say it, without what was left out."""
        given = {
            "type": self.type,
            "low": self.low,
            "high": self.high,
            "step": self.step,
            "choices": self.choices,
        }
        kept = {key: value for key, value in given.items() if value is not None}
        return kept | ({"log": True} if self.log else {}) | ({"when": self.when} if self.when else {})

    def _on_grid(self, value: float) -> bool:
        if self.step is None or self.low is None:
            return True
        steps = (value - self.low) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-6)


class _Form(Section):
    """What every kind of dimension has in the file."""

    when: dict[str, Annotated[list[Choice], Field(min_length=1)]] | None = Field(
        None, description="only where another dimension took one of these values: key path -> values"
    )

    @field_validator("when", mode="before")
    @classmethod
    def _one_or_several(cls, when: Any) -> Any:
        if not isinstance(when, dict):
            return when
        return {key: value if isinstance(value, list) else [value] for key, value in when.items()}


class _FloatForm(_Form):
    type: Literal["float"]
    low: float = Field(description="smallest value, included")
    high: float = Field(description="greatest value, included")
    log: bool = Field(False, description="drawn on a logarithmic scale")
    step: Annotated[float, Field(gt=0)] | None = Field(
        None, description="only low, low + step, low + 2 step, …"
    )


class _IntForm(_Form):
    type: Literal["int"]
    low: int = Field(description="smallest value, included")
    high: int = Field(description="greatest value, included")
    log: bool = Field(False, description="drawn on a logarithmic scale")
    step: Annotated[int, Field(ge=1)] | None = Field(
        None, description="only low, low + step, low + 2 step, …"
    )


class _CategoricalForm(_Form):
    type: Literal["categorical"]
    choices: list[Any] = Field(min_length=1, description="the values")


#: type -> what its dimension may say
FORMS: Mapping[str, type[_Form]] = {"float": _FloatForm, "int": _IntForm, "categorical": _CategoricalForm}


def read_dimensions(document: Document) -> tuple[dict[str, Dimension], list[Problem]]:
    """The dimensions under `search`, and everything wrong with them, each at its place."""
    search = document.data.get("search")
    if not isinstance(search, dict) or not search:
        message = "search is empty; name at least one key path, for example training.learning_rate"
        return {}, [Problem(document.key_place(("search",)), message)]
    read = _Reading(document)
    dimensions = {key: found for key, raw in search.items() if (found := read.dimension(key, raw))}
    return dimensions, read.problems + _condition_problems(document, dimensions)


class _Reading:
    """Collects the problems of single dimensions while they are read."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def dimension(self, key: str, raw: Any) -> Dimension | None:
        if key not in key_paths():
            self.problems.append(Problem(self.document.key_place(("search", key)), _no_such_key(key)))
            return None
        kind = raw.get("type") if isinstance(raw, dict) else None
        if not isinstance(kind, str) or kind not in FORMS:
            self._refuse(key, ("type",), _kind_wanted(raw))
            return None
        dimension = self._form(key, raw, form=FORMS[kind])
        if dimension is not None:
            self._ranges(key, dimension)
            self._values(key, dimension)
        return dimension

    def _form(self, key: str, raw: dict[str, Any], *, form: type[_Form]) -> Dimension | None:
        try:
            return Dimension(**form.model_validate(raw).model_dump())
        except ValidationError as error:
            self.problems += validation_problems(self.document, error, model=form, at=("search", key))
            return None

    def _ranges(self, key: str, dimension: Dimension) -> None:
        low, high = dimension.low, dimension.high
        if low is None or high is None:
            return
        if low > high:
            self._refuse(key, ("low",), f"low {show(low)} is above high {show(high)}; exchange them")
        if dimension.log and low <= 0:
            self._refuse(key, ("low",), f"a logarithmic scale needs low above 0, not {show(low)}")
        if dimension.log and dimension.step is not None:
            self._refuse(key, ("step",), "a logarithmic scale takes no step; remove step or log")

    def _values(self, key: str, dimension: Dimension) -> None:
        """Refuse what the configuration would refuse, and choices that cannot be told apart."""
        if dimension.type == "float" and int in _types(key):
            self._refuse(key, ("type",), f"{key} takes whole numbers; write type: int")
            return
        for inner, value in dimension.ends():
            for message in _plain(value) or check_value(key, value):
                self._refuse(key, inner, message)
        choices = dimension.choices or []
        for index, choice in enumerate(choices):
            if any(same(choice, earlier) for earlier in choices[:index]):
                self._refuse(key, ("choices", index), f"{show(choice)} is listed twice")

    def _refuse(self, key: str, inner: KeyPath, message: str) -> None:
        self.problems.append(Problem(self.document.place(("search", key, *inner)), f"{key}: {message}"))


def validation_problems(
    document: Document, error: ValidationError, *, model: type[BaseModel], at: KeyPath = ()
) -> list[Problem]:
    """What `model` refused of the mapping at `at`, each at its place in the file."""
    return [_validation_problem(document, found, model=model, at=at) for found in by_value(error)]


def point_problems(document: Document, dimensions: Mapping[str, Dimension]) -> list[Problem]:
    """What is wrong with the points under `enqueue`: each must lie in the space."""
    points = document.data.get("enqueue")
    if not isinstance(points, list):
        return []
    return [
        problem
        for index, point in enumerate(points)
        if isinstance(point, dict)
        for key in point
        for problem in _coordinate_problems(document, dimensions, at=("enqueue", index, key))
    ]


def applies(dimension: Dimension, params: Mapping[str, Any]) -> bool:
    """Does the dimension exist in a trial that has `params`?"""
    conditions = (dimension.when or {}).items()
    return all(key in params and _among(params[key], values) for key, values in conditions)


def same(left: Any, right: Any) -> bool:
    """Equal, and not a truth value beside a number: True is not 1."""
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def is_number(value: Any) -> bool:
    """An int or a float, not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _among(value: Any, values: list[Choice]) -> bool:
    return any(same(value, candidate) for candidate in values)


def _validation_problem(
    document: Document, error: dict[str, Any], *, model: type[BaseModel], at: KeyPath
) -> Problem:
    inner: KeyPath = tuple(part for part in error["loc"] if part != "[key]")
    path = (*at, *inner)
    about_key = error["type"] == "extra_forbidden"
    place = document.key_place(path) if about_key else document.place(path)
    name = ".".join(map(str, path if error["type"] != "missing" else path[:-1]))
    message = explain(error, model=model, written=document.written(path))
    return Problem(place, f"{name}: {message}" if name else message)


def _coordinate_problems(
    document: Document, dimensions: Mapping[str, Dimension], *, at: KeyPath
) -> list[Problem]:
    _, index, key = at
    point = document.data["enqueue"][index]
    name, value = str(key), point[key]
    searched = document.data.get("search")
    if name not in dimensions:
        if isinstance(searched, dict) and name in searched:
            return []  # the dimension itself is at fault, and reported
        message = f"{name} is not searched{did_you_mean(name, list(dimensions))}"
        return [Problem(document.key_place(at), message)]
    dimension = dimensions[name]
    if not dimension.takes(value):
        return [Problem(document.place(at), f"{name}: {show(value)} lies outside {describe(dimension)}")]
    unmet = [
        other
        for other, values in (dimension.when or {}).items()
        if other in point and not _among(point[other], values)
    ]
    return [
        Problem(document.key_place(at), f"{name} does not exist where {other} is {show(point[other])}")
        for other in unmet
    ]


def describe(dimension: Dimension) -> str:
    """The values of a dimension in a few words."""
    if dimension.choices is not None:
        return f"the choices {', '.join(show(choice) for choice in dimension.choices)}"
    step = f" in steps of {show(dimension.step)}" if dimension.step else ""
    return f"{show(dimension.low)} to {show(dimension.high)}{step}"


def _condition_problems(document: Document, dimensions: Mapping[str, Dimension]) -> list[Problem]:
    problems = []
    for key, dimension in dimensions.items():
        for other, values in (dimension.when or {}).items():
            at: KeyPath = ("search", key, "when", other)
            problems += _one_condition(document, dimensions.get(other), values=values, at=at)
        if key in _needed(key, dimensions):
            place = document.key_place(("search", key, "when"))
            problems.append(Problem(place, f"{key}: its conditions come back to itself; remove one `when`"))
    return problems


def _one_condition(
    document: Document, other: Dimension | None, *, values: list[Choice], at: KeyPath
) -> list[Problem]:
    key, name = str(at[1]), str(at[3])
    if other is None:
        searched = list(document.data["search"])
        if name in searched:
            return []  # the dimension itself is at fault, and reported
        hint = did_you_mean(name, searched)
        return [Problem(document.key_place(at), f"{key}: when names {name}, which is not searched{hint}")]
    return [
        Problem(
            document.place((*at, index)), f"{key}: {name} never is {show(value)}; it has {describe(other)}"
        )
        for index, value in enumerate(values)
        if not other.takes(value)
    ]


def _needed(key: str, dimensions: Mapping[str, Dimension]) -> set[str]:
    """Every dimension that `key` depends on, directly or through others."""
    needed: set[str] = set()
    waiting = list(dimensions[key].when or {})
    while waiting:
        other = waiting.pop()
        if other not in needed and other in dimensions:
            needed.add(other)
            waiting += dimensions[other].when or {}
    return needed


def _plain(value: Any) -> list[str]:
    if isinstance(value, list | dict):
        return ["a choice must be a plain word, a number, true, false or null"]
    return []


def _no_such_key(key: str) -> str:
    if key in ALIASES:
        return f"write {ALIASES[key]} in place of {key}"
    if key in Config.model_fields:
        return f"{key} is a section; write key paths such as training.learning_rate"
    return unknown_key(key)


def _kind_wanted(raw: Any) -> str:
    if not isinstance(raw, dict):
        return "must be a mapping, for example {type: float, low: 0.0, high: 0.2}"
    if "type" not in raw:
        return "type is missing; write float, int or categorical"
    kinds = list(FORMS)
    near = did_you_mean(str(raw["type"]), kinds)
    return f"type must be one of {', '.join(kinds)}, not {show(raw['type'])}{near}"


def _types(key: str) -> tuple[Any, ...]:
    annotation = key_paths()[key].annotation
    return get_args(annotation) or (annotation,)
