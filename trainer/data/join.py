"""Rows of several files in one: for a last training on all rows that may be used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from trainer.data.read import read_table
from trainer.files import write_text


def join_rows(paths: Sequence[Path], *, out: Path) -> int:
    """Write the rows of `paths`, one after the other, to `out` as JSON Lines; how many.

    Raises:
        DataError: a file cannot be used.
    """
    rows = [row for path in paths for row in read_table(path).rows]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return len(rows)
