"""What there is to know about one data file by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainer.data.identity import identity, same_texts
from trainer.data.read import MASKED, Labels, Table
from trainer.data.scan import Fault, Scan, scan_labels
from trainer.data.script import ScriptCount, count_scripts
from trainer.data.tasks import Task
from trainer.data.tokens import tokenise

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PERCENTILES = (5, 50, 95, 99, 100)
_UNKNOWN_SHOWN = 10

#: Longer than any text, so that no length is cut.
_WHOLE = 1_000_000


@dataclass(frozen=True)
class Measure:
    """How texts are measured with a tokenizer. max_length: tokens kept, special tokens included."""

    tokenizer: PreTrainedTokenizerFast
    cache_dir: Path
    max_length: int


@dataclass(frozen=True)
class TokenFacts:
    """What a tokenizer makes of a file.

    unk_rate: share of tokens that are unknown. unknown: commonest characters it does not know, with counts.
    truncated: rows cut at max_length. lengths: percentile -> tokens, up to the longest the tokenizer takes.
    """

    unk_rate: float
    unknown: Mapping[str, int]
    max_length: int
    truncated: int
    lengths: Mapping[int, int]


@dataclass(frozen=True)
class Sheet:
    """A file's rows beside what check compares: the identity of each text, and labels [N, T]."""

    split: str
    table: Table
    identities: tuple[str, ...]
    labels_NT: Labels
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class FileFacts:
    """What `check` says of one file.

    rows: all of them; duplicates: rows whose text an earlier row of the file has. lengths: percentile ->
    characters. labels: task -> class -> rows. masked: task -> rows without a label.
    """

    split: str
    path: str
    encoding: str
    rows: int
    faults: Mapping[str, int]
    duplicates: int
    lengths: Mapping[int, int]
    scripts: ScriptCount
    labels: Mapping[str, Mapping[str, int]]
    masked: Mapping[str, int]
    tokens: TokenFacts | None = None


def sheet_of(split: str, *, scanned: Scan, tasks: Sequence[Task]) -> Sheet:
    """The file with its labels, and all its faults in order of lines."""
    labels_NT, faults = scan_labels(scanned.table, tasks=tasks)
    every = sorted((*scanned.faults, *faults), key=lambda fault: fault.line)
    identities = tuple(map(identity, scanned.table.texts))
    return Sheet(split, scanned.table, identities, labels_NT, tuple(every))


def facts_of(
    sheet: Sheet, *, scanned: Scan, tasks: Sequence[Task], measure: Measure | None = None
) -> FileFacts:
    """Measure one file; with a tokenizer if `measure` gives one."""
    texts = sheet.table.texts
    return FileFacts(
        split=sheet.split,
        path=str(sheet.table.path),
        encoding=scanned.encoding,
        rows=scanned.rows,
        faults=Counter(fault.kind for fault in sheet.faults),
        duplicates=sum(len(positions) - 1 for positions in same_texts(sheet.identities)),
        lengths=_percentiles([len(text) for text in texts]),
        scripts=count_scripts(texts),
        labels={task.name: _counts(sheet.labels_NT[:, column], task) for column, task in enumerate(tasks)},
        masked={
            task.name: int((sheet.labels_NT[:, column] == MASKED).sum()) for column, task in enumerate(tasks)
        },
        tokens=_token_facts(texts, measure) if measure and texts else None,
    )


def _counts(labels_N: Labels, task: Task) -> dict[str, int]:
    counts = np.bincount(labels_N[labels_N != MASKED], minlength=len(task.classes))
    return {name: int(count) for name, count in zip(task.classes, counts, strict=True)}


def _percentiles(lengths: Sequence[int] | Labels) -> dict[int, int]:
    if not len(lengths):
        return {}
    found = np.percentile(lengths, PERCENTILES, method="lower")
    return {share: int(length) for share, length in zip(PERCENTILES, found, strict=True)}


def _token_facts(texts: Sequence[str], measure: Measure) -> TokenFacts:
    tokens = tokenise(texts, tokenizer=measure.tokenizer, cache_dir=measure.cache_dir)
    return TokenFacts(
        unk_rate=tokens.unk_rate,
        unknown=_unknown(texts, measure.tokenizer),
        max_length=measure.max_length,
        truncated=tokens.truncated(measure.max_length),
        lengths=_percentiles(tokens.lengths(_WHOLE)),
    )


def _unknown(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """The commonest characters that become the unknown token when they stand alone."""
    if tokenizer.unk_token_id is None:
        return {}
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    common = [character for character, _ in counts.most_common()]
    ids = tokenizer(common, add_special_tokens=False)["input_ids"]
    unknown = [one for one, found in zip(common, ids, strict=True) if tokenizer.unk_token_id in found]
    return {character: counts[character] for character in unknown[:_UNKNOWN_SHOWN]}
