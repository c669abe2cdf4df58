"""The top level of a space file as written: strict sections and their defaults."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from trainer import Section, UserError

Name = Annotated[str, Field(min_length=1)]
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?P<amount>\d+(?:\.\d+)?)\s*(?P<unit>[smhd])")
# A name becomes a file and a directory: letters and digits of any script, then also . _ and -. Windows drops
# a dot at the end and keeps some names for devices (its "Naming Files, Paths, and Namespaces").
_FILE_NAME = re.compile(r"(?!(con|prn|aux|nul|com\d|lpt\d)(\.|$))\w([\w.-]*[\w-])?", re.IGNORECASE)


class CardChoice(Section):
    """The card a study is meant for."""

    name: str | None = Field(
        None, min_length=1, description="a known card (`cp-search fit --help`) or any name"
    )
    memory: str | None = Field(None, min_length=1, description="its size, as in 4GiB; null: the known card's")
    context: str | None = Field(
        None, min_length=1, description="what CUDA itself takes of it; null: measured where there is a GPU"
    )
    virtual: bool = Field(False, description="train under a card of this size that is played on the CPU")


class SampleChoice(Section):
    """The data is a synthetic sample, which may be generated if it is missing."""

    rows: int = Field(3000, ge=10, description="rows in all three files together")
    seed: int = Field(42, ge=0, description="of the generator")


class Component(Section):
    """A sampler or pruner of Optuna by name, with its arguments."""

    name: Name = Field(description="a class of optuna.samplers or optuna.pruners")
    args: dict[str, Any] = Field(default_factory=dict, description="what its constructor is given")


class Budget(Section):
    """When a study is done; of several limits the first that is reached."""

    trials: int | None = Field(None, ge=1, description="trials that completed or were pruned")
    time_s: float | None = Field(
        None,
        alias="time",
        description="how long is searched in all, as in 90s, 30m, 2h or 1h30m: over restarts, whatever "
        "`--jobs`; workers at the same time count once",
    )
    target: float | None = Field(None, gt=0, le=1, description="a value of the metric that is good enough")
    patience: int | None = Field(None, ge=1, description="measured trials since the best one")

    @field_validator("time_s", mode="before")
    @classmethod
    def _seconds(cls, time: Any) -> Any:
        return None if time is None else seconds(time)


class Limits(Section):
    """What one trial may take; null: no limit."""

    trial_timeout_s: float | None = Field(
        None, alias="trial_timeout", description="a duration, as in 2h: of all attempts of a trial together"
    )
    stall_timeout_s: float | None = Field(
        3600.0,
        alias="stall_timeout",
        description="a duration without a step or a word, as in 10m; the default is 1h",
    )
    retries: int = Field(
        3, ge=0, description="how often a trial whose process died goes on without having come further"
    )

    @field_validator("trial_timeout_s", "stall_timeout_s", mode="before")
    @classmethod
    def _seconds(cls, time: Any) -> Any:
        return None if time is None else seconds(time)


class Confirm(Section):
    """The best trials are trained again on seeds that the search has not seen."""

    top_k: int = Field(3, ge=1, description="trials that are trained again")
    seeds: int = Field(3, ge=1, description="seeds for each of them")


class Finish(Section):
    """What follows the search; without confirming, the search's best value is trusted."""

    retrain: bool = Field(True, description="train the best once more, and export it")
    template: Name = Field(
        "production", description="the template it is trained with, under the searched values"
    )
    set: dict[str, Any] = Field(default_factory=dict, description="key path -> value, over the template")
    confirm: Confirm | None = Field(None, description="`on`, `off`, or how many trials and seeds")
    retrain_on: Literal["train", "train+val"] = Field(
        "train", description="rows the final model is trained on"
    )
    decide: bool = Field(
        True, description="fit thresholds and a temperature on validation, kept if they help"
    )
    ensemble: int | None = Field(
        None, ge=2, description="average so many confirmed members, kept if that beats the best single one"
    )

    @field_validator("confirm", mode="before")
    @classmethod
    def _confirm_in_a_word(cls, confirm: Any) -> Any:
        """YAML reads `off` as false and `on` as true."""
        return {False: None, True: {}}[confirm] if isinstance(confirm, bool) else confirm

    @field_validator("retrain_on")
    @classmethod
    def _length_from_confirming(cls, retrain_on: str, info: ValidationInfo) -> str:
        if retrain_on == "train+val" and info.data.get("confirm") is None:
            raise ValueError(
                "train+val leaves no validation rows to stop by: the number of epochs comes from the "
                "confirming runs; add confirm: {top_k: 3, seeds: 3}"
            )
        return retrain_on

    @field_validator("ensemble")
    @classmethod
    def _members_from_confirming(cls, ensemble: int | None, info: ValidationInfo) -> int | None:
        confirm = info.data.get("confirm")
        if ensemble is None:
            return None
        if confirm is None:
            raise ValueError("an ensemble is made of confirmed trials; add confirm: {top_k: 3, seeds: 3}")
        if ensemble > confirm.top_k:
            raise ValueError(f"{ensemble} members, but confirm.top_k is {confirm.top_k}; raise it")
        if info.data.get("retrain_on") == "train+val":
            raise ValueError(
                "an ensemble is judged on validation rows, which train+val uses up; leave one out"
            )
        return ensemble


class SpaceFile(Section):
    """Every key of a space file."""

    name: str | None = Field(None, description="of the study; null: the file's own")
    base: Name = Field(description="a template's name, or a configuration file: what every trial starts from")
    set: dict[str, Any] = Field(default_factory=dict, description="key path -> value: fixed over the base")
    card: CardChoice | None = Field(
        None, description='what memory is planned for; also in a word, as in "rtx3050 4GiB"'
    )
    sample: SampleChoice | None = Field(
        None, description="the data files are a synthetic sample, generated if they are missing"
    )
    # Read by `dimension`, which says more of what is wrong than a type could.
    search: Any = Field(None, description="required: key path -> dimension")
    enqueue: list[dict[str, Any]] = Field(
        default_factory=list, description="points that are tried first: key path -> value"
    )
    sampler: Component = Field(Component(name="TPESampler"), description="also by its name alone")
    pruner: Component = Field(Component(name="MedianPruner"), description="also by its name alone")
    budget: Budget = Field(Budget(), description="when the search is over: the first limit that is reached")
    limits: Limits = Field(Limits(), description="what one trial may take")
    repeats: int = Field(1, ge=1, description="how often the same configuration may be trained")
    keep: Literal["records", "all"] = Field(
        "records",
        description="of a trial that is over: its records, or also its weights (final_model.pt, and the "
        "best checkpoints that callbacks.save_top_k says) and tokenizer, with which it can be exported",
    )
    finish: Finish = Field(Finish(), description="what follows the search")
    max_failures: int = Field(3, ge=1, description="failed trials in a row that end the study")
    seed: int = Field(
        42, ge=0, lt=2**32, description="of the sampler; each trial's own follows from its number"
    )

    @field_validator("name")
    @classmethod
    def _names_a_file(cls, name: str | None) -> str | None:
        if name is not None and not _FILE_NAME.fullmatch(name):
            raise ValueError(_no_file_name(name))
        return name

    @field_validator("card", mode="before")
    @classmethod
    def _card_in_words(cls, card: Any) -> Any:
        return _card(card) if isinstance(card, str) else card

    @field_validator("sampler", "pruner", mode="before")
    @classmethod
    def _component_in_a_word(cls, component: Any) -> Any:
        return {"name": component} if isinstance(component, str) else component


def require_file_name(name: str) -> str:
    """`name`, if a study may be called that. Raises UserError."""
    if not _FILE_NAME.fullmatch(name):
        raise UserError(_no_file_name(name))
    return name


def seconds(time: Any) -> float:
    """ "2h", "30m", "90s", "1h30m" in seconds. Raises ValueError, worded for the user."""
    text = time.replace(" ", "") if isinstance(time, str) else ""
    if not text or _DURATION.sub("", text):
        raise ValueError(f"{time!r} is no time; write for example 90s, 30m or 2h")
    total = sum(float(part["amount"]) * _SECONDS[part["unit"]] for part in _DURATION.finditer(text))
    if total <= 0:
        raise ValueError(f"{time!r} is no time at all; write for example 30m")
    return total


def _card(text: str) -> dict[str, str]:
    """ "rtx3050 4GiB" -> name and memory; either may be left out."""
    memory = re.search(r"(?:^|\s)(\d+(?:\.\d+)?\s*[KMGT]i?B)$", text.strip(), re.IGNORECASE)
    name = text.strip()[: memory.start()].strip() if memory else text.strip()
    return ({"name": name} if name else {}) | ({"memory": memory[1]} if memory else {})


def _no_file_name(name: str) -> str:
    return f"{name!r} cannot name a file; use letters, digits, dot, underscore and hyphen"
