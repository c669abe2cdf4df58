"""YAML that remembers where everything stood: `Document`.

Reads with PyYAML's safe parser, but with its own idea of what a plain word means: `3e-5` is a number
(PyYAML reads text), `010`, `1:30` and dates are text (PyYAML reads 8, 90 and a date).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from trainer.errors import ConfigError, Place, Problem

#: Where a value stands in a YAML file: names of keys, and the numbers of list items from 0.
KeyPath = tuple[str | int, ...]

_NULL, _BOOL, _INT, _FLOAT, _MERGE = (
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "merge")
)
_CONTAINERS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
# YAML 1.1's words for true and false; https://yaml.org/type/bool.html without the single letters.
_TRUE = {"true", "yes", "on"}
_FALSE = {"false", "no", "off"}
_PLAIN = (
    (_NULL, re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    (_BOOL, re.compile(r"^(?:(?i:true|false|yes|no|on|off))$"), list("tTfFyYnNoO")),
    (_INT, re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789")),
    (
        _FLOAT,
        re.compile(
            r"^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
            r"|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN))$"
        ),
        list("-+0123456789."),
    ),
    (_MERGE, re.compile(r"^<<$"), ["<"]),
)


def plain_words() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """First letter -> the (tag, pattern) pairs a plain scalar is tried against."""
    table: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for tag, pattern, letters in _PLAIN:
        for letter in letters:
            table.setdefault(letter, []).append((tag, pattern))
    return table


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = plain_words()


@dataclass(frozen=True)
class Document:
    """A YAML file as plain data, with the place of every key and of every value.

    `problems` holds everything wrong with the text itself (syntax, duplicate keys); with a syntax
    error `data` is empty. A key path is a tuple: ("training", "batch_size"), ("enqueue", 0).
    """

    file: str
    data: dict[str, Any]
    problems: tuple[Problem, ...]
    values: Mapping[KeyPath, Place]
    keys: Mapping[KeyPath, Place]
    plain: Mapping[KeyPath, str]

    @classmethod
    def read(cls, path: Path) -> Document:
        """Read `path` (UTF-8, with or without a BOM); what cannot be read becomes a problem."""
        try:
            return cls.parse(path.read_bytes().decode("utf-8-sig"), file=str(path))
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            return cls._broken(Problem(Place(str(path), line), "not UTF-8; save the file as UTF-8"))
        except OSError as error:
            return cls._broken(Problem(Place(str(path)), f"cannot be read: {error.strerror}"))

    @classmethod
    def parse(cls, text: str, *, file: str) -> Document:
        """Read `text`, which stands in `file`."""
        try:
            node = yaml.compose(text.removeprefix("\ufeff"), Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            return cls._broken(Problem(_mark(file, error.problem_mark), _syntax(error)))
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            message = f"character U+{int(error.character):04X} is not allowed in YAML; remove it"
            return cls._broken(Problem(Place(file, line), message))
        except RecursionError:
            return cls._broken(Problem(Place(file), "nested too deeply to be a configuration"))
        if isinstance(node, yaml.MappingNode):
            return _Walk(file).document(node)
        place = _mark(file, node.start_mark if node else None)
        found = "has no content" if node is None else "is not a mapping"
        return cls._broken(Problem(place, f"the file {found}; write `key: value` lines"))

    @classmethod
    def _broken(cls, problem: Problem) -> Document:
        assert problem.place is not None
        return cls(problem.place.file, {}, (problem,), {}, {}, {})

    def place(self, path: KeyPath) -> Place:
        """Where the value at `path` stands; of what is not there, its nearest parent."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.values:
                return self.values[path[:length]]
        return Place(self.file)

    def key_place(self, path: KeyPath) -> Place:
        """Where the key at `path` stands; of a list item, its value."""
        return self.keys.get(path) or self.place(path)

    def written(self, path: KeyPath) -> str | None:
        """The unquoted word behind the value at `path`; None if it was quoted or is no scalar."""
        return self.plain.get(path)


def parse_value(text: str, *, file: str) -> Any:
    """One YAML value as a flag carries it: `3e-5`, `[a, b]`, `{toxicity: 1}`; nothing is empty text.

    Raises ConfigError, its problems placed in `file`, if the text is no YAML.
    """
    if not text.strip() or text.lstrip().startswith("#"):
        return text.strip()
    document = Document.parse("value:\n  " + text.strip(), file=file)
    if document.problems:
        raise ConfigError([Problem(Place(file), problem.message) for problem in document.problems])
    return document.data["value"]


def closest(word: str, known: Sequence[str]) -> str | None:
    """The entry of `known` that `word` was most likely meant to be, or None."""
    by_form = {_form(entry): entry for entry in reversed(known)}
    matches = get_close_matches(_form(word), by_form, n=1, cutoff=0.6)
    return by_form[matches[0]] if matches else None


def _form(word: str) -> str:
    return word.casefold().replace("-", "_").replace(" ", "_")


def _mark(file: str, mark: yaml.Mark | None) -> Place:
    return Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "cannot be read"
    if "\\t" in problem:
        return "a tab cannot indent YAML; use spaces"
    return f"not YAML: {problem} ({error.context})" if error.context else f"not YAML: {problem}"


class _Walk:
    """One pass over the parsed nodes of one file, collecting data, places and problems."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.values: dict[KeyPath, Place] = {}
        self.keys: dict[KeyPath, Place] = {}
        self.plain: dict[KeyPath, str] = {}
        self.open: list[yaml.Node] = []

    def document(self, node: yaml.MappingNode) -> Document:
        data = self.value(node, ())
        problems = tuple(sorted(self.problems, key=lambda problem: order(problem.place)))
        return Document(self.file, data, problems, self.values, self.keys, self.plain)

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.values[path] = _mark(self.file, node.start_mark)
        if any(node is parent for parent in self.open):
            self._problem(node, "an alias cannot contain itself")
            return None
        self.open.append(node)
        value = self._inside(node, path)
        self.open.pop()
        return value

    def _inside(self, node: yaml.Node, path: KeyPath) -> Any:
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _CONTAINERS:
            self._problem(node, _foreign_tag(node.tag))
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for merged in self._merged(node):
            found |= self._mapping(merged, path)
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(key_node, "a key must be a plain word")
                continue
            key = key_node.value
            if key in seen:
                self._problem(key_node, f"{key} is given twice; the first is in line {seen[key]}")
                continue
            seen[key] = key_node.start_mark.line + 1
            self.keys[(*path, key)] = _mark(self.file, key_node.start_mark)
            found[key] = self.value(value_node, (*path, key))
        return found

    def _merged(self, node: yaml.MappingNode) -> Iterator[yaml.MappingNode]:
        """The mappings behind `<<:`, weakest first."""
        for key_node, value_node in node.value:
            if key_node.tag != _MERGE:
                continue
            several = isinstance(value_node, yaml.SequenceNode)
            for merged in reversed(value_node.value) if several else [value_node]:
                if isinstance(merged, yaml.MappingNode) and not any(merged is parent for parent in self.open):
                    yield merged
                else:
                    self._problem(key_node, "<< must be followed by an alias of a mapping")

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        self.plain.pop(path, None)
        if isinstance(node, yaml.ScalarNode) and node.style is None:
            self.plain[path] = node.value
        try:
            return _scalar_value(node)
        except ValueError as error:
            self._problem(node, str(error))
            return None

    def _problem(self, node: yaml.Node, message: str) -> None:
        self.problems.append(Problem(_mark(self.file, node.start_mark), message))


def order(place: Place | None) -> tuple[int, int]:
    """Sort key that puts the places of one file in reading order."""
    return (place.line or 0, place.column or 0) if place else (0, 0)


def _scalar_value(node: yaml.Node) -> Any:
    """Raises ValueError, its text for the user, for a tag or a number that cannot be taken."""
    text = node.value
    if node.tag == _NULL:
        return None
    if node.tag == _BOOL and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    if node.tag == _INT:
        return _whole(text)
    if node.tag == _FLOAT:
        return _real(text)
    if node.tag == "tag:yaml.org,2002:str":
        return text
    raise ValueError(_foreign_tag(node.tag))


def _foreign_tag(tag: str) -> str:
    return f"the tag {tag} is not allowed; write the value plainly"


def _whole(text: str) -> int:
    # Beyond 4300 digits Python refuses; beyond 40 nobody means it.
    if len(text) > 40:
        raise ValueError(f"{text[:12]}… is too long for a number; quote it if text is meant")
    return int(text)


def _real(text: str) -> float:
    named = {".inf": "inf", ".nan": "nan"}
    bare = text.lower().lstrip("+-")
    return float(text.lower().replace(bare, named.get(bare, bare)).replace("_", ""))
