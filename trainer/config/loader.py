"""From template, file and flags to one `Config`, with every problem reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from trainer.config.layers import Layer, Setting, document_layer, flag_layer, merge
from trainer.config.schema import Config, key_paths
from trainer.config.templates import template_path
from trainer.config.wording import by_value, explain
from trainer.config.yaml import Document, order, parse_value, plain_words
from trainer.errors import ConfigError, Place, Problem


@dataclass(frozen=True)
class Resolved:
    """A configuration and how it came about.

    origins: for every key path "default", "template NAME", "file:line" or "flag".
    notes: lines for the user about settings that gave way to others.
    """

    config: Config
    origins: dict[str, str]
    notes: list[str] = field(default_factory=list)


def load_config(
    *, template: str | None = None, file: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> Resolved:
    """Join template < file < overrides ({"training.learning_rate": 3e-5}) and check the result.

    Raises ConfigError with every problem, in file order.
    """
    layers = []
    if template is not None:
        layers.append(template_layer(template))
    if file is not None:
        layers.append(document_layer(Document.read(file)))
    return resolve([*layers, flag_layer(overrides or {})])


def template_layer(name: str) -> Layer:
    """The settings of a bundled template; an unknown name is a problem of the layer."""
    try:
        path = template_path(name)
    except ConfigError as error:
        return Layer(problems=list(error.problems))
    return document_layer(Document.read(path), origin=f"template {name}")


def resolve(layers: Sequence[Layer]) -> Resolved:
    """Check the joined layers, the last one strongest. Raises ConfigError with every problem."""
    settings, notes = merge(layers)
    problems = [problem for layer in layers for problem in layer.problems]
    config, invalid = _validated(settings)
    problems += invalid
    if problems or config is None:
        raise ConfigError(in_file_order(problems))
    origins = {path: settings[path].origin if path in settings else "default" for path in key_paths()}
    return Resolved(config, origins, notes)


def check_value(path: str, value: Any) -> list[str]:
    """What the configuration has against `value` under the key `path`; empty: it accepts it."""
    section, _, key = path.partition(".")
    try:
        Config.model_validate({section: {key: value}})
    except ValidationError as error:
        return [explain(found, model=Config) for found in by_value(error)]
    return []


def in_file_order(problems: Sequence[Problem]) -> list[Problem]:
    """Problems grouped by file in order of appearance, by line and column inside each; no repeats."""
    files = list(dict.fromkeys(_file(problem.place) for problem in problems))
    unique = list(dict.fromkeys(problems))
    return sorted(unique, key=lambda problem: (files.index(_file(problem.place)), order(problem.place)))


def parse_setting(text: str) -> tuple[str, Any]:
    """`training.learning_rate=3e-5` -> ("training.learning_rate", 3e-05).

    The value is read as YAML. Raises ConfigError if there is no `=` or the value is no YAML.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        message = f"--set {text}: write section.key=value, for example training.learning_rate=3e-5"
        raise ConfigError([Problem(None, message)])
    return path.strip(), parse_value(value, file=f"--set {path.strip()}")


def dump_config(config: Config) -> str:
    """`config` as YAML with every key; `load_config` reads it back equal."""
    return yaml.dump(
        config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000
    )


def _validated(settings: Mapping[str, Setting]) -> tuple[Config | None, list[Problem]]:
    sections: dict[str, dict[str, Any]] = {}
    for path, setting in settings.items():
        section, _, key = path.partition(".")
        sections.setdefault(section, {})[key] = setting.value
    try:
        return Config.model_validate(sections), []
    except ValidationError as error:
        return None, [_problem(found, settings) for found in by_value(error)]


def _problem(error: dict[str, Any], settings: Mapping[str, Setting]) -> Problem:
    """One pydantic error at the place of the value it is about."""
    path = ".".join(map(str, error["loc"][:2]))
    inner = tuple(part for part in error["loc"][2:] if part != "[key]")
    setting = settings[path]
    about_key = error["type"] == "extra_forbidden" or error["loc"][-1] == "[key]"
    place = setting.key_place(inner) if about_key else setting.place(inner)
    message = explain(error, model=Config, written=setting.written(inner))
    if setting.document is None and not inner:  # the place already names the key
        return Problem(place, message)
    return Problem(place, f"{'.'.join([setting.path, *map(str, inner)])}: {message}")


def _file(place: Place | None) -> str:
    return place.file if place else ""


def _both_resolvers() -> dict[str, list[Any]]:
    """What either our reader or any YAML 1.1 reader would take for something else than text."""
    ours, theirs = plain_words(), yaml.SafeDumper.yaml_implicit_resolvers
    return {letter: ours.get(letter, []) + theirs.get(letter, []) for letter in ours.keys() | theirs.keys()}


class _Dumper(yaml.SafeDumper):
    """Quotes every text that would not be read back as text."""

    yaml_implicit_resolvers = _both_resolvers()

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal values out twice rather than as an alias."""
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Between double quotes what holds a line break: PyYAML folds the rarer ones (U+0085) elsewhere."""
        style = '"' if data.splitlines() not in ([], [data]) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)
