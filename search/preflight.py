"""Whether data and model can be used, found out before anything of a study is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from search.space import Space
from trainer import read_rows, require_model, write_sample


def preflight(space: Space, *, say: Callable[[str], None]) -> None:
    """Check the space's base configuration; a sample it asks for is made if it is missing.

    Raises:
        UserError: data or model cannot be used; nothing was written.
    """
    for note in space.notes:
        say(note)
    config = space.base_config().config
    require_model(config.model.name)
    if space.sample is not None and config.data.train_path is not None:
        train = Path(config.data.train_path)
        if not train.exists():
            write_sample(train.parent, rows=space.sample.rows, seed=space.sample.seed)
            say(f"Wrote {space.sample.rows} made-up comments to {train.parent} (see README.txt there)")
    for note in read_rows(config).notes:
        say(note)
