"""Layers of settings (template, file, flags): each value with its origin, later ones winning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainer.config.schema import Config, key_paths
from trainer.config.wording import did_you_mean
from trainer.config.yaml import Document, KeyPath
from trainer.errors import Place, Problem

#: The second place of a key, where the published training guide writes it, and its own one.
ALIASES = {
    "data.batch_size": "training.batch_size",
    "data.gradient_accumulation_steps": "training.gradient_accumulation_steps",
    "model.gradient_checkpointing": "optimization.gradient_checkpointing",
}
#: (key, key of an earlier layer that gives way to it)
_GIVES_WAY = (
    ("training.gradient_accumulation_steps", "training.effective_batch_size"),
    ("training.bf16", "training.fp16"),
    ("training.fp16", "training.bf16"),
)


@dataclass(frozen=True)
class Setting:
    """One value for one key path. `document` and `at` say where it was written; None: a flag."""

    path: str
    value: Any
    origin: str
    document: Document | None = None
    at: KeyPath = ()

    def place(self, inner: KeyPath = ()) -> Place:
        """Where the value, or the part of it at `inner`, was written."""
        return self.document.place(self.at + inner) if self.document else Place(f"--set {self.path}")

    def key_place(self, inner: KeyPath = ()) -> Place:
        """Where the key, or the key at `inner`, was written."""
        return self.document.key_place(self.at + inner) if self.document else self.place()

    def written(self, inner: KeyPath = ()) -> str | None:
        """The unquoted word in the file, if it was one."""
        return self.document.written(self.at + inner) if self.document else None


@dataclass(frozen=True)
class Layer:
    """The settings of one source, by canonical key path, and what was wrong with its keys."""

    settings: dict[str, Setting] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, setting: Setting, *, place: Place) -> None:
        """Take `setting` in under its canonical path; an unknown or contradicted one is a problem."""
        path = ALIASES.get(setting.path, setting.path)
        if path not in key_paths():
            self.problems.append(Problem(place, unknown_key(setting.path)))
            return
        before = self.settings.get(path)
        if before is not None and before.value != setting.value:
            message = f"{setting.path} and {before.path} are the same setting but differ; keep one"
            self.problems.append(Problem(place, message))
            return
        self.settings[path] = setting


def document_layer(document: Document, *, at: KeyPath = (), origin: str | None = None) -> Layer:
    """The settings of a file; with `at` those of the mapping there, which may use dotted key paths.

    `origin` is said of every setting; without it, file and line are.
    """
    layer = Layer(problems=[] if at else list(document.problems))
    for path, value, where in _leaves(document, at, layer.problems):
        place = document.place(where)
        said = origin or f"{place.file}:{place.line}"
        layer.add(Setting(path, value, said, document, where), place=document.key_place(where))
    return layer


def flag_layer(values: Mapping[str, Any], *, origin: str = "flag") -> Layer:
    """The settings given by key path on the command line or by a program."""
    layer = Layer()
    for path, value in values.items():
        layer.add(Setting(path, value, origin), place=Place(f"--set {path}"))
    return layer


def merge(layers: Sequence[Layer]) -> tuple[dict[str, Setting], list[str]]:
    """Every setting that counts, and what a person should know about how they were joined."""
    merged: dict[str, Setting] = {}
    notes: list[str] = []
    for layer in layers:
        for later, earlier in _replaced(merged, layer):
            # Otherwise the later, more particular wish would be read and have no effect.
            notes.append(f"{later.path} ({later.origin}) replaces {earlier.path} ({earlier.origin})")
            del merged[earlier.path]
        merged |= layer.settings
    return merged, notes


def _replaced(merged: Mapping[str, Setting], layer: Layer) -> list[tuple[Setting, Setting]]:
    """(setting of `layer`, earlier setting that gives way to it) for keys that exclude each other."""
    return [
        (layer.settings[winner], merged[loser])
        for winner, loser in _GIVES_WAY
        if winner in layer.settings and loser in merged and loser not in layer.settings
        if layer.settings[winner].value and merged[loser].value
    ]


def unknown_key(path: str) -> str:
    """What to say of a key path, or a first-level key, that the configuration does not have."""
    section, _, key = path.partition(".")
    sections = list(Config.model_fields)
    homes = [known for known in key_paths() if known.partition(".")[2] == (key or section)]
    if homes:
        home_section, _, home_key = homes[0].partition(".")
        return f"unknown key {path}; {home_key} belongs under {home_section} ({homes[0]})"
    if not key:
        return f"unknown key {path}{did_you_mean(path, sections)} (sections: {', '.join(sections)})"
    if section in sections and "." in key and f"{section}.{key.partition('.')[0]}" in key_paths():
        whole = f"{section}.{key.partition('.')[0]}"
        return f"unknown key {path}; {whole} is set as a whole"
    return f"unknown key {path}{_nearest_path(section, key)}"


def _nearest_path(section: str, key: str) -> str:
    """Prefer a key of the same section, then any key, whatever section was written."""
    own = [path.partition(".")[2] for path in key_paths() if path.startswith(f"{section}.")]
    near = did_you_mean(key, own)
    if near:
        return near.replace("mean ", f"mean {section}.", 1)
    homes = {path.partition(".")[2]: path for path in key_paths()}
    near_key = did_you_mean(key, list(homes)).removeprefix("; did you mean ").rstrip("?")
    return f"; did you mean {homes[near_key]}?" if near_key else ""


def _leaves(document: Document, at: KeyPath, problems: list[Problem]) -> Iterator[tuple[str, Any, KeyPath]]:
    """(key path, value, place path) of every setting under `at`."""
    for name, value in _at(document.data, at).items():
        where = (*at, name)
        if at and "." in name:
            yield name, value, where
        elif name not in Config.model_fields:
            problems.append(Problem(document.key_place(where), unknown_key(name)))
        elif isinstance(value, dict):
            for key, inner in value.items():
                yield f"{name}.{key}", inner, (*where, key)
        elif value is not None:  # a section whose keys are all commented out is an empty one
            problems.append(
                Problem(document.place(where), f"{name} is a section; write `key: value` lines under it")
            )


def _at(data: Any, path: KeyPath) -> dict[str, Any]:
    """The mapping at `path`; empty where there is none (its shape is not this module's to check)."""
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}
