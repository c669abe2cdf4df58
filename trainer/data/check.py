"""A look at the data before anything is trained on it: what is wrong or odd, and how alike the splits are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from trainer.config.schema import Config
from trainer.data.facts import FileFacts, Measure, Sheet, facts_of, sheet_of
from trainer.data.findings import (
    Association,
    Finding,
    associate,
    association_findings,
    fault_findings,
    file_findings,
    idle_findings,
    length_findings,
    pair_findings,
    task_findings,
    text_findings,
)
from trainer.data.scan import scan
from trainer.data.script import METHOD
from trainer.data.splits import cache_directory
from trainer.data.tasks import Task, resolve_tasks
from trainer.data.unlikeness import Part, Unlikeness, compare
from trainer.errors import UserError

#: Splits in the order they are used; files of these names are compared, and may not share texts.
SPLITS = ("train", "val", "test")

#: Characters that few encoders take whole: a Chinese character is about a token, and most stop at 512.
LONG = 512


@dataclass(frozen=True)
class CheckRequest:
    """What to check.

    files: split -> file; other names than `SPLITS` stand for files whose use is not known. config: tasks,
    tokenizer, length and cache. with_tokenizer: measure with `config.model`'s. max_characters: longer texts
    are named; None: those over `LONG`, where no tokenizer tells better. seed: draws the texts by which splits
    are compared.
    """

    files: Mapping[str, Path]
    config: Config
    with_tokenizer: bool = False
    max_characters: int | None = None
    seed: int = 42

    @property
    def limit(self) -> int | None:
        """Characters above which a text is long."""
        return LONG if self.max_characters is None and not self.with_tokenizer else self.max_characters


@dataclass(frozen=True)
class DataReport:
    """What a check saw. `script_method` says how simplified and traditional were told apart."""

    tasks: tuple[Task, ...]
    files: tuple[FileFacts, ...]
    pairs: tuple[Unlikeness, ...]
    associations: tuple[Association, ...]
    findings: tuple[Finding, ...]
    script_method: str = METHOD

    @property
    def ok(self) -> bool:
        """Whether nothing was found that training would refuse, or that would make its scores mislead."""
        return all(finding.level != "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return {"ok": self.ok, **asdict(self)}


def check_data(request: CheckRequest) -> DataReport:
    """Read the files and report on them; nothing is written but the tokenizer's cache.

    Raises:
        DataError: a file that cannot be read to its end. UserError: no file, or no label field in any.
        ModelError: the tokenizer cannot be had.
    """
    if not request.files:
        raise UserError("no file to check; name one, or give --train, --val and --test")
    scans = {split: scan(path) for split, path in _in_order(request.files)}
    tasks = resolve_tasks(request.config.model, next(iter(scans.values())).table.fields)
    sheets = [sheet_of(split, scanned=scanned, tasks=tasks) for split, scanned in scans.items()]
    measure = _measure(request, sheets[0].table.texts) if request.with_tokenizer else None
    facts = tuple(
        facts_of(sheet, scanned=scans[sheet.split], tasks=tasks, measure=measure) for sheet in sheets
    )
    pairs = tuple(_pairs(sheets, tasks=tasks, seed=request.seed))
    associations = associate(sheets[0].labels_NT, tasks=tasks)
    found = [
        *text_findings(sheets),
        *_file_findings(sheets, facts=facts, limit=request.limit),
        *idle_findings(sheets[0], request.config.model),
        *_pair_findings(pairs, facts=facts),
        *association_findings(associations),
    ]
    return DataReport(tasks, facts, pairs, associations, tuple(sorted(found, key=_rank)))


def _in_order(files: Mapping[str, Path]) -> list[tuple[str, Path]]:
    """The splits in the order of their use, then the others: the first is what is learned from."""
    return [
        *((split, files[split]) for split in SPLITS if split in files),
        *((name, path) for name, path in files.items() if name not in SPLITS),
    ]


def _measure(request: CheckRequest, texts: Sequence[str]) -> Measure:
    # Here, because transformers takes seconds to import and most checks need no tokenizer.
    from trainer.model.build import load_tokenizer
    from trainer.model.source import require_model

    model = request.config.model
    require_model(model.name)
    tokenizer = load_tokenizer(model, texts=texts)
    return Measure(tokenizer, cache_directory(request.config), model.max_sequence_length)


def _pairs(sheets: Sequence[Sheet], *, tasks: Sequence[Task], seed: int) -> Iterator[Unlikeness]:
    """Every two splits; files whose use is not known are not meant to be alike."""
    named = [sheet for sheet in sheets if sheet.split in SPLITS and len(sheet.table)]
    for first, second in combinations(named, 2):
        parts = [Part(sheet.table.texts, sheet.labels_NT) for sheet in (first, second)]
        yield compare(*parts, names=(first.split, second.split), tasks=tasks, seed=seed)


def _file_findings(
    sheets: Sequence[Sheet], *, facts: Sequence[FileFacts], limit: int | None
) -> Iterator[Finding]:
    train = facts[0] if facts[0].split == SPLITS[0] else None
    for sheet, fact in zip(sheets, facts, strict=True):
        yield from fault_findings(sheet)
        yield from length_findings(sheet, limit=limit)
        yield from task_findings(fact, train=train)
        yield from file_findings(fact)


def _pair_findings(pairs: Sequence[Unlikeness], *, facts: Sequence[FileFacts]) -> Iterator[Finding]:
    scripts = {fact.split: fact.scripts.main for fact in facts}
    for pair in pairs:
        yield from pair_findings(pair, scripts=(scripts[pair.first], scripts[pair.second]))


def _rank(finding: Finding) -> int:
    return ("error", "warning", "note").index(finding.level)
