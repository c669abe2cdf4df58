"""A first search space for somebody's own data: drafted from a look at the rows, the model and the card.

What is suggested follows from what was seen, and each line of the file says why. It is a start to be
edited, and nothing in it was tuned on the data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from search.language import translated
from search.rates import Rates, rates_for
from search.space import load_space
from trainer import (
    CheckRequest,
    ModelError,
    check_data,
    exportable,
    load_config,
    require_model,
    write_text,
)

if TYPE_CHECKING:
    from trainer import CardSpec, DataReport, FileFacts

TEMPLATE = "draft.yaml.j2"
GIB = 2**30
#: cards for which the template rtx3050_optimized is meant
SMALL_CARD_BYTES = int(4.5 * GIB)
#: sequence lengths are suggested in steps of this many tokens, up to what BERT has positions for
_LENGTH_STEP, _LONGEST = 32, 512
#: a class with less than this share of a task's rows makes class weights worth a try
_RARE = 0.2
#: rows up to which so many epochs are suggested; more rows need fewer passes
_EPOCHS = ((2_000, 6), (20_000, 4), (math.inf, 3))
#: a comment of the draft, which is said in the person's language: its mark, its text
_COMMENT = re.compile(r"^( *# )(.*)$", re.MULTILINE)
#: [CLS] and [SEP], where lengths are counted in characters
_SPECIAL = 2


@dataclass(frozen=True)
class DraftRequest:
    """What a space is drafted for, and the file it is for. card: None trains on the CPU."""

    path: Path
    train: Path
    val: Path
    test: Path | None
    model: str
    card: CardSpec | None = None


@dataclass(frozen=True)
class Draft:
    """A drafted space: the YAML, and what the reader should hear beside it."""

    text: str
    notes: tuple[str, ...]


def draft_space(request: DraftRequest) -> Draft:
    """Look at the rows and write a space for them; nothing is written to disk but the tokenizer's cache.

    Raises:
        DataError: a file cannot be read. ModelError: the model's shape is known nowhere.
    """
    rates = rates_for(request.model)
    tokenizer, problem = _tokenizer(request.model)
    report = _check(request, with_tokenizer=tokenizer)
    train = report.files[0]
    seen = _Seen(train, counted="tokens" if tokenizer else "characters")
    text = _render(request, seen, rates=rates)
    return Draft(text, tuple(_notes(report, problem)))


def write_draft(draft: Draft, path: Path) -> None:
    """Write the space, and read it back as `run` will.

    Raises:
        ConfigError: it does not load, say for a name that no study can have; the file stays to be edited.
    """
    write_text(path, draft.text)
    load_space(str(path))


def batches_for(rows: int) -> list[int]:
    """Effective batches to search, three in order, of which known good points take the middle one.

    Of few rows smaller ones, so that there are enough optimizer steps.
    """
    return [8, 16, 32] if rows <= _EPOCHS[0][0] else [16, 32, 64]


@dataclass(frozen=True)
class _Seen:
    """What the draft is made of, of the training rows; lengths in `counted`."""

    facts: FileFacts
    counted: str

    @property
    def percentiles(self) -> Mapping[int, int]:
        """Percentile -> length, special tokens included."""
        if self.facts.tokens is not None:
            return self.facts.tokens.lengths
        return {share: length + _SPECIAL for share, length in self.facts.lengths.items()}

    @property
    def lengths(self) -> list[int]:
        """Sequence lengths worth trying: those that hold 95 and 99 of 100 texts."""
        return sorted({_rounded(self.percentiles[share]) for share in (95, 99)})

    @property
    def epochs(self) -> int:
        """Passes over the rows in a trial."""
        return next(epochs for rows, epochs in _EPOCHS if self.facts.rows <= rows)

    @property
    def batches(self) -> list[int]:
        """Effective batches."""
        return batches_for(self.facts.rows)

    @property
    def rarest(self) -> tuple[str, str, float] | None:
        """Task, class and share of the rarest class that has rows; None where no class is rare."""
        shares = [
            (count / total, task, name)
            for task, counts in self.facts.labels.items()
            if (total := sum(counts.values()))
            for name, count in counts.items()
            if count
        ]
        share, task, name = min(shares, default=(1.0, "", ""))
        return (task, name, share) if share < _RARE else None

    @property
    def balance(self) -> list[str]:
        """A line for each task: its classes with their rows."""
        tasks = self.facts.labels.items()
        return [
            f"{task}: {', '.join(f'{name} {count:,}' for name, count in counts.items())}"
            for task, counts in tasks
        ]


def _render(request: DraftRequest, seen: _Seen, *, rates: Rates) -> str:
    environment = Environment(
        loader=PackageLoader("search", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    small = request.card is not None and request.card.total_bytes <= SMALL_CARD_BYTES
    drafted = environment.get_template(TEMPLATE).render(
        request=request,
        seen=seen,
        rates=rates,
        poolings=[pooling for pooling in ("cls", "mean") if exportable(request.model, pooling=pooling)],
        base="rtx3050_optimized" if small else "hyperparameter_search",
        middle=seen.batches[1],
    )
    return _COMMENT.sub(lambda comment: comment[1] + translated(comment[2]), drafted)


def _check(request: DraftRequest, *, with_tokenizer: bool) -> DataReport:
    files = {"train": request.train, "val": request.val, "test": request.test}
    named = {split: path for split, path in files.items() if path is not None}
    config = load_config(overrides={"model.name": request.model}).config
    return check_data(CheckRequest(named, config, with_tokenizer=with_tokenizer))


def _tokenizer(model: str) -> tuple[bool, str | None]:
    """Whether the model's tokenizer can be had here; if not, why."""
    try:
        require_model(model)
    except ModelError as error:
        return False, str(error)
    return True, None


def _notes(report: DataReport, problem: str | None) -> Sequence[str]:
    told = [finding for finding in report.findings if finding.level != "note"]
    notes = [f"{translated(finding.level)}: {translated(finding.message)}" for finding in told]
    if notes:
        notes.append("cp-search data check says more about these; mend the errors before searching")
    if problem:
        notes.append(f"Lengths are counted in characters, for there is no tokenizer yet: {problem}")
    return notes


def _rounded(length: int) -> int:
    return min(_LONGEST, max(_LENGTH_STEP, math.ceil(length / _LENGTH_STEP) * _LENGTH_STEP))
