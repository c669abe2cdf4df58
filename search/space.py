"""The search space: read from YAML, checked whole, and turned into configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import search as package
from search.dimension import Dimension as Dimension
from search.dimension import point_problems, read_dimensions, same, validation_problems
from search.space_file import Budget, CardChoice, Component, Finish, Limits, SampleChoice, SpaceFile
from trainer import (
    ALIASES,
    Config,
    ConfigError,
    Document,
    KeyPath,
    Layer,
    Place,
    Problem,
    Resolved,
    Setting,
    bundled_directory,
    bundled_names,
    did_you_mean,
    document_layer,
    flag_layer,
    in_file_order,
    resolve,
    show,
    template_layer,
    template_names,
)

# How long a run is and when it gives up belong to the finishing template.
_LENGTH = frozenset({"training.num_epochs", "callbacks.early_stopping_patience"})
# What suits the machine rather than the run's length: the finish keeps the search's values.
_FITTING = frozenset(
    {
        "training.batch_size",
        "training.gradient_accumulation_steps",
        "training.effective_batch_size",
        "training.auto_batch_size",
        "training.fp16",
        "training.bf16",
        "optimization.gradient_checkpointing",
        "optimization.memory_efficient_attention",
        "optimization.cpu_offload",
    }
)
# What changes no result, so that two studies which differ only here are the same study.
_INDIFFERENT = {
    "data": ("cache_dir", "num_workers", "pin_memory", "prefetch_factor"),
    "callbacks": ("save_top_k", "save_best_only", "monitor_gpu_memory", "tensorboard_log_dir", "loggers"),
    "experiment": (
        "name",
        "output_dir",
        "log_level",
        "save_predictions",
        "checkpoint_interval_s",
        "save_final_model",
    ),
}
_DEFAULT_TRIALS = 30
_ASSUMED_BUDGET = f"the space names no budget: {_DEFAULT_TRIALS} trials"
# A trial never sees the test rows: they belong to the finish.
_BLIND = flag_layer({"data.test_path": None})
_WITHOUT_WEIGHTS = flag_layer({"callbacks.save_top_k": 0, "experiment.save_final_model": False})
_ACCUMULATION = "training.gradient_accumulation_steps"
_EFFECTIVE = "training.effective_batch_size"
_SAME_IN_BOTH = (
    "enqueue",
    "sampler",
    "pruner",
    "finish",
    "card",
    "sample",
    "limits",
    "repeats",
    "keep",
    "max_failures",
    "seed",
)


@dataclass(frozen=True)
class Space:
    """A checked search space. `search` maps key paths to dimensions; `notes` are lines for the user."""

    path: Path
    name: str
    search: dict[str, Dimension]
    enqueue: list[dict[str, Any]]
    sampler: Component
    pruner: Component
    budget: Budget
    finish: Finish
    card: CardChoice | None
    sample: SampleChoice | None
    limits: Limits
    repeats: int
    keep: str
    max_failures: int
    seed: int
    notes: list[str]
    document: Document = field(repr=False)
    layers: tuple[Layer, ...] = field(repr=False)
    finish_layers: tuple[Layer, Layer] = field(repr=False)

    def base_config(self) -> Resolved:
        """The base with the space's fixed settings: what every trial starts from."""
        return resolve(self.layers)

    def trial_config(self, params: Mapping[str, Any]) -> Config:
        """The configuration of a trial with `params` ({key path: value}).

        A trial never sees the test rows, and keeps no weights unless `keep` is "all".
        """
        kept = [] if self.keep == "all" else [_WITHOUT_WEIGHTS]
        return resolve([*self.layers, flag_layer(params), _BLIND, *kept]).config

    def final_config(self, params: Mapping[str, Any]) -> Config:
        """The configuration that retrains the trial with `params` for production.

        Strongest last: the finishing template; of the base its model, data, machine-fitting values and,
        if it is a file of the user's, its experiment; the space's settings; `params`; `finish.set`.
        Epochs and patience come from the finishing template or `finish.set` alone.
        """
        template, changes = self.finish_layers
        base, *fixed = self.layers
        carried = [_carried(base), *(_without_length(layer) for layer in fixed)]
        return resolve([template, *carried, flag_layer(params), changes]).config

    def within(self, *, trials: int | None = None, time_s: float | None = None) -> Space:
        """The same space with what is given of a budget; one the file does not name is not assumed then."""
        wanted = {"trials": trials, "time_s": time_s}
        given = {key: value for key, value in wanted.items() if value is not None}
        if not given:
            return self
        assumed = _ASSUMED_BUDGET in self.notes
        changes = {"trials": None, **given} if assumed else given
        notes = [note for note in self.notes if note != _ASSUMED_BUDGET]
        return replace(self, budget=self.budget.model_copy(update=changes), notes=notes)

    def finished_with(self, template: str) -> Space:
        """The same space, its finish with another template. Raises ConfigError if there is no such one."""
        names = template_names()
        if template not in names:
            near = did_you_mean(template, names)
            message = f"--template: no template {template!r}{near} (templates: {', '.join(names)})"
            raise ConfigError([Problem(None, message)])
        finish = self.finish.model_copy(update={"template": template})
        layers = (template_layer(template), self.finish_layers[1])
        return replace(self, finish=finish, finish_layers=layers)

    def definition(self) -> dict[str, Any]:
        """What makes two studies comparable, JSON-able: no budget, no enqueued points, no output."""
        config = self.base_config().config.model_dump(mode="json")
        for section, keys in _INDIFFERENT.items():
            for key in keys:
                config[section].pop(key)
        return {
            "config": config,
            "search": {key: dimension.as_dict() for key, dimension in self.search.items()},
            "sampler": self.sampler.model_dump(mode="json"),
            "pruner": self.pruner.model_dump(mode="json"),
            "seed": self.seed,
        }

    def place(self, key: KeyPath) -> Place:
        """Where the value under `key` stands in the file, for example ("sampler", "name")."""
        return self.document.place(key)

    def problem_at(self, key: KeyPath, message: str) -> ConfigError:
        """An error, to be raised by the caller, that points at `key`."""
        return ConfigError([Problem(self.place(key), message)])


def space_names() -> tuple[str, ...]:
    """Names of the bundled spaces, sorted."""
    return bundled_names(_bundled())


def space_path(path_or_name: str) -> Path:
    """The file meant: a path, or the name of a bundled space. Raises ConfigError if there is neither."""
    path, names = Path(path_or_name), space_names()
    if path.is_file():
        return path
    if path_or_name in names:
        return _bundled() / f"{path_or_name}.yaml"
    near = did_you_mean(path.stem, names)
    message = f"no space file {path_or_name}{near} (bundled, by name: {', '.join(names)})"
    raise ConfigError([Problem(None, message)])


def load_space(path_or_name: str, *, settings: Mapping[str, Any] | None = None) -> Space:
    """Read a space file, or a bundled space by name; `settings` ({key path: value}) override its `set`.

    A setting on a searched key fixes it and removes the dimension. Raises ConfigError with every
    problem, in file order.
    """
    path = space_path(path_or_name)
    return _loaded(path, Document.read(path), settings or {})


def parse_space(text: str, *, path: Path, settings: Mapping[str, Any] | None = None) -> Space:
    """As `load_space`, of `text`, which stood at `path`: beside that its base is looked for."""
    return _loaded(path, Document.parse(text, file=str(path)), settings or {})


def _loaded(path: Path, document: Document, settings: Mapping[str, Any]) -> Space:
    if not document.data:  # a syntax error: nothing else can be said
        raise ConfigError(document.problems)
    return _pinned(_Draft(path, document, settings).space(), settings)


class _Draft:
    """A space file while it is being checked; every part adds to `problems`."""

    def __init__(self, path: Path, document: Document, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.document = document
        self.problems = list(document.problems)
        self.layers = (self._base(), document_layer(document, at=("set",)), flag_layer(settings))

    def space(self) -> Space:
        file = self._file()
        search, problems = read_dimensions(self.document)
        self.problems += problems + point_problems(self.document, search)
        self._fixed_and_searched(search)
        finish_layers = self._finish()
        self._resolve(self.layers)
        if file is None or self.problems:
            raise ConfigError(in_file_order(self.problems))
        return self._space(file, search=search, finish_layers=finish_layers)

    def _space(
        self, file: SpaceFile, *, search: dict[str, Dimension], finish_layers: tuple[Layer, Layer]
    ) -> Space:
        parts = {key: getattr(file, key) for key in _SAME_IN_BOTH}
        budget, notes = _budget(file.budget)
        return Space(
            path=self.path,
            name=file.name or self.path.stem,
            search=search,
            budget=budget,
            notes=notes + _doubts(search),
            document=self.document,
            layers=self.layers,
            finish_layers=finish_layers,
            **parts,
        )

    def _file(self) -> SpaceFile | None:
        try:
            return SpaceFile.model_validate(self.document.data)
        except ValidationError as error:
            self.problems += validation_problems(self.document, error, model=SpaceFile)
            return None

    def _base(self) -> Layer:
        base = self.document.data.get("base")
        if not isinstance(base, str) or not base:
            return Layer()  # reported with the shape of the file
        if base in template_names():
            return template_layer(base)
        for candidate in (self.path.parent / base, Path(base)):
            if candidate.is_file():
                return document_layer(Document.read(candidate))
        self._no_template(("base",), base, what="template or file")
        return Layer()

    def _finish(self) -> tuple[Layer, Layer]:
        finish = self.document.data.get("finish")
        name = finish.get("template", "production") if isinstance(finish, dict) else "production"
        changes = document_layer(self.document, at=("finish", "set"))
        if not isinstance(name, str) or name not in template_names():
            if isinstance(name, str):
                self._no_template(("finish", "template"), name, what="template")
            self._resolve([changes])
            return Layer(), changes
        template = template_layer(name)
        self._resolve([template, changes])
        return template, changes

    def _fixed_and_searched(self, search: Mapping[str, Dimension]) -> None:
        for path, setting in self.layers[1].settings.items():
            if path in search:
                message = f"{setting.path} is searched as well; remove it here or under search"
                self.problems.append(Problem(setting.key_place(), message))
        if _EFFECTIVE in search and _ACCUMULATION in search:
            place = self.document.key_place(("search", _ACCUMULATION))
            message = f"{_ACCUMULATION} has no effect beside {_EFFECTIVE}; search one of them"
            self.problems.append(Problem(place, message))

    def _resolve(self, layers: Sequence[Layer]) -> None:
        try:
            resolve(layers)
        except ConfigError as error:
            self.problems += error.problems

    def _no_template(self, key: KeyPath, name: str, *, what: str) -> None:
        names = template_names()
        message = f"no {what} {name!r}{did_you_mean(name, names)} (templates: {', '.join(names)})"
        self.problems.append(Problem(self.document.place(key), message))


def _pinned(space: Space, settings: Mapping[str, Any]) -> Space:
    """`space` without the dimensions that `settings` fix, and without those that cannot occur then."""
    fixed = {ALIASES.get(key, key): value for key, value in settings.items()}
    notes = [f"{key} is fixed at {show(fixed[key])} and not searched" for key in space.search if key in fixed]
    if not notes:
        return space
    open_ones = {key: dimension for key, dimension in space.search.items() if key not in fixed}
    search, gone = _still_possible(open_ones, {key: fixed[key] for key in space.search if key in fixed})
    if not search:
        message = "the settings fix every dimension: nothing is left to search; use `cp-search train`"
        raise space.problem_at(("search",), message)
    notes += [f"{key} is not searched: its condition cannot be met" for key in gone]
    return replace(space, search=search, enqueue=_points_in(space.enqueue, search), notes=space.notes + notes)


def _still_possible(
    search: Mapping[str, Dimension], fixed: Mapping[str, Any]
) -> tuple[dict[str, Dimension], list[str]]:
    """The dimensions whose conditions can still be met, conditions on `fixed` keys taken out; the others."""
    kept, gone = dict(search), list[str]()
    while lost := [
        key for key, dimension in kept.items() if not _possible(dimension, kept=kept, fixed=fixed)
    ]:
        gone += lost
        kept = {key: dimension for key, dimension in kept.items() if key not in lost}
    return {key: _freed(dimension, fixed) for key, dimension in kept.items()}, gone


def _possible(dimension: Dimension, *, kept: Mapping[str, Dimension], fixed: Mapping[str, Any]) -> bool:
    return all(
        other in kept or (other in fixed and any(same(fixed[other], value) for value in values))
        for other, values in (dimension.when or {}).items()
    )


def _freed(dimension: Dimension, fixed: Mapping[str, Any]) -> Dimension:
    when = {other: values for other, values in (dimension.when or {}).items() if other not in fixed}
    return replace(dimension, when=when or None)


def _points_in(points: Sequence[Mapping[str, Any]], search: Mapping[str, Dimension]) -> list[dict[str, Any]]:
    """The points cut down to what is still searched; what became equal or empty is left out."""
    kept: list[dict[str, Any]] = []
    for point in points:
        rest = {key: value for key, value in point.items() if key in search}
        if rest and rest not in kept:
            kept.append(rest)
    return kept


def _carried(layer: Layer) -> Layer:
    """What of a base's layer holds for the finish as well."""
    return Layer({path: setting for path, setting in layer.settings.items() if _is_carried(setting, path)})


def _is_carried(setting: Setting, path: str) -> bool:
    section = path.partition(".")[0]
    own_experiment = section == "experiment" and not setting.origin.startswith("template ")
    return section in ("model", "data") or path in _FITTING or own_experiment


def _without_length(layer: Layer) -> Layer:
    return Layer({path: setting for path, setting in layer.settings.items() if path not in _LENGTH})


def _budget(budget: Budget) -> tuple[Budget, list[str]]:
    if budget.trials is None and budget.time_s is None:
        return budget.model_copy(update={"trials": _DEFAULT_TRIALS}), [_ASSUMED_BUDGET]
    return budget, []


def _doubts(search: Mapping[str, Dimension]) -> list[str]:
    """Dimensions that are allowed and seldom wise."""
    doubts = {
        "training.num_epochs": "trials of different length hardly compare, and pruning suffers",
        "training.evaluations_per_epoch": "the pruner cannot compare trials that report at different points",
        "experiment.seed": "the best seed is luck and does not carry over to the retrained model",
    }
    return [f"{key} is searched: {reason}" for key, reason in doubts.items() if key in search]


def _bundled() -> Path:
    assert package.__file__ is not None
    return bundled_directory(package.__file__, name="spaces")
