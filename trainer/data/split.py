"""One data file cut into train, val and test, or into folds: stratified, grouped, no text in two parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.identity import identity, label_fields
from trainer.data.read import Table, read_table
from trainer.data.rowfile import require_free, write_rows
from trainer.data.stratify import join_blocks, stratify
from trainer.errors import DataError, UserError

DEFAULT_SHARE = 0.1
MIN_FOLDS = 2


@dataclass(frozen=True)
class SplitRequest:
    """How to split. val, test: shares of the rows; group: field whose values stay on one side.

    folds: cut what test leaves into so many parts, each in turn val and the others train; takes the place
    of val. seed: the same one gives the same parts.
    """

    val: float | None = None
    test: float = DEFAULT_SHARE
    group: str | None = None
    folds: int | None = None
    seed: int = 42
    overwrite: bool = False


@dataclass(frozen=True)
class PartBalance:
    """What one part got. labels: field -> value -> rows; groups: different values of the group field."""

    name: str
    rows: int
    wanted_rows: float
    labels: Mapping[str, Mapping[str, int]]
    groups: int | None = None


@dataclass(frozen=True)
class SplitReport:
    """What came of a split.

    blocks: sets of rows that had to stay together, single rows among them. shift: field -> largest
    difference, over parts and classes, between a class's share in a part and in the file, 0 to 1.
    missing: (part, field, class) of what the file has and a part has not.
    """

    rows: int
    blocks: int
    parts: tuple[PartBalance, ...]
    shift: Mapping[str, float]
    missing: tuple[tuple[str, str, str], ...]
    files: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return asdict(self)


def split_file(source: Path, *, out: Path, request: SplitRequest) -> SplitReport:
    """Split `source` into train, val and test.jsonl under `out`; with folds, test.jsonl and fold-K/.

    Every row goes to exactly one part, unchanged and in the file's order.
    Raises `DataError` for a row that cannot be read, `UserError` for shares that cannot be met.
    """
    shares = part_shares(request)
    table = read_table(source)
    blocks_N = _blocks(table, group=request.group)
    parts_N = split_rows(table, blocks_N=blocks_N, shares=shares, seed=request.seed)
    _require_filled(parts_N, names=tuple(shares), blocks=int(blocks_N.max()) + 1)
    files = _files(list(shares), parts_N=parts_N, folds=request.folds)
    require_free((out / name for name in files), source=source, overwrite=request.overwrite)
    for name, rows in files.items():
        write_rows(out / name, (table.rows[row] for row in rows))
    parts = tuple(_balances(table, parts_N=parts_N, shares=shares, group=request.group))
    return SplitReport(
        rows=len(table),
        blocks=int(blocks_N.max()) + 1,
        parts=parts,
        shift=_shifts(parts),
        missing=_missing(parts),
        files={name: len(rows) for name, rows in files.items()},
    )


def part_shares(request: SplitRequest) -> dict[str, float]:
    """Part -> share of the rows, 1 in all; parts of share 0 are left out.

    Raises:
        UserError: a share that is none, nothing left to train on, or both `val` and `folds`.
    """
    val = DEFAULT_SHARE if request.val is None else request.val
    if request.folds is None:
        _require_shares(val=val, test=request.test)
        shares = {"train": 1 - val - request.test, "val": val, "test": request.test}
        return {name: share for name, share in shares.items() if share}
    if request.val is not None:
        raise UserError("--val and --folds: each fold is val in turn; leave --val out")
    if request.folds < MIN_FOLDS:
        raise UserError(f"--folds {request.folds}: ask for {MIN_FOLDS} or more")
    _require_shares(val=0.0, test=request.test)
    folds = {f"fold-{fold}": (1 - request.test) / request.folds for fold in range(1, request.folds + 1)}
    return {**folds, "test": request.test} if request.test else folds


def split_rows(
    table: Table, *, blocks_N: NDArray[np.int64], shares: Mapping[str, float], seed: int
) -> NDArray[np.int64]:
    """The part [N] of each row, by its place in `shares`; blocks never part."""
    columns = [_class_numbers(table, field) for field in label_fields(table.fields)]
    classes_NT = np.array(columns, dtype=np.int64).reshape(len(columns), len(table)).T
    return stratify(classes_NT, blocks_N=blocks_N, shares=list(shares.values()), seed=seed)


def _require_shares(*, val: float, test: float) -> None:
    for flag, share in (("--val", val), ("--test", test)):
        if not 0 <= share < 1:
            raise UserError(f"{flag} {share:g}: give a share of the rows from 0 to below 1, as in {flag} 0.1")
    if val + test >= 1:
        raise UserError(f"--val {val:g} --test {test:g}: nothing is left to train on; lower them")


def _blocks(table: Table, *, group: str | None) -> NDArray[np.int64]:
    texts = [identity(text) for text in table.texts]
    return join_blocks(texts) if group is None else join_blocks(texts, _groups(table, group))


def _groups(table: Table, group: str) -> list[object]:
    if group not in table.fields:
        fields = ", ".join(sorted(table.fields - {"text"}))
        raise DataError(f"no row has the field {group} (--group); fields here: {fields}", file=table.path)
    # A list or an object may be a group too; its text stands for it.
    return [None if (value := row.get(group)) is None else repr(value) for row in table.rows]


def _class_numbers(table: Table, field: str) -> list[int]:
    found: dict[str, int] = {}
    return [
        -1 if (value := row.get(field)) is None else found.setdefault(repr(value), len(found))
        for row in table.rows
    ]


def _require_filled(parts_N: NDArray[np.int64], *, names: Sequence[str], blocks: int) -> None:
    for part in set(range(len(names))) - set(parts_N.tolist()):
        raise UserError(
            f"{names[part]} would be empty: {len(parts_N)} rows in {blocks} blocks that must stay together "
            "(groups, equal texts) are too few for this split; raise its share, or use fewer parts"
        )


def _files(
    names: list[str], *, parts_N: NDArray[np.int64], folds: int | None
) -> dict[str, NDArray[np.int64]]:
    """File name under OUT -> its rows."""
    rows = {name: np.flatnonzero(parts_N == part) for part, name in enumerate(names)}
    if folds is None:
        return {f"{name}.jsonl": found for name, found in rows.items()}
    files = {"test.jsonl": rows["test"]} if "test" in rows else {}
    trainable = parts_N < folds
    for part, name in enumerate(names[:folds]):
        files[f"{name}/train.jsonl"] = np.flatnonzero(trainable & (parts_N != part))
        files[f"{name}/val.jsonl"] = rows[name]
    return files


def _balances(
    table: Table, *, parts_N: NDArray[np.int64], shares: Mapping[str, float], group: str | None
) -> Iterator[PartBalance]:
    for part, (name, share) in enumerate(shares.items()):
        rows = [table.rows[row] for row in np.flatnonzero(parts_N == part)]
        labels = {field: _values(rows, field) for field in label_fields(table.fields)}
        groups = len({repr(row.get(group)) for row in rows}) if group else None
        yield PartBalance(name, len(rows), share * len(table), labels, groups)


def _values(rows: Sequence[Mapping[str, Any]], field: str) -> dict[str, int]:
    """Label -> rows; rows without one are left out."""
    return dict(sorted(Counter(str(row[field]) for row in rows if row.get(field) is not None).items()))


def _totals(parts: Sequence[PartBalance], field: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part.labels[field])
    return total


def _shifts(parts: Sequence[PartBalance]) -> dict[str, float]:
    shifts = {}
    for field in parts[0].labels:
        total = _totals(parts, field)
        gaps = [
            abs(part.labels[field].get(value, 0) / labelled - count / total.total())
            for part in parts
            if (labelled := sum(part.labels[field].values()))
            for value, count in total.items()
        ]
        shifts[field] = max(gaps, default=0.0)
    return shifts


def _missing(parts: Sequence[PartBalance]) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (part.name, field, value)
        for part in parts
        for field in part.labels
        for value in sorted(_totals(parts, field))
        if value not in part.labels[field]
    )
