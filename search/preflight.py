"""Whether data and model can be used, found out before anything of a study is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from search.space import Space
from trainer import CardSpec, UserError, exportable, lacks_bf16, read_rows, require_model, write_sample

_BF16 = "training.bf16"


def preflight(space: Space, *, say: Callable[[str], None]) -> None:
    """Check the space's base configuration, and say what is odd about its rows.

    Raises:
        UserError: as `require_usable`.
    """
    require_usable(space, say=say)
    for note in read_rows(space.base_config().config).notes:
        say(note)


def require_usable(space: Space, *, say: Callable[[str], None]) -> None:
    """Check the space's base configuration; a sample it asks for is made if it is missing.

    Raises:
        UserError: data or model cannot be used; nothing was written.
    """
    for note in space.notes:
        say(note)
    config = space.base_config().config
    require_model(config.model.name)
    _require_exportable(space)
    if space.sample is not None and config.data.train_path is not None:
        train = Path(config.data.train_path)
        if not train.exists():
            write_sample(train.parent, rows=space.sample.rows, seed=space.sample.seed)
            say(f"Wrote {space.sample.rows} made-up comments to {train.parent} (see README.txt there)")


def require_arithmetic(space: Space, *, cards: Sequence[CardSpec]) -> None:
    """A study must not find out in a trial, or at its end, that a card of its lacks bf16.

    Raises:
        UserError: bf16 is asked for or searched, with the place, and one of `cards` lacks it.
    """
    lacking = [card for card in cards if lacks_bf16(card)]
    if not lacking:
        return
    base, searched = space.base_config(), space.search.get(_BF16)
    if searched is not None and searched.takes(True):
        raise space.problem_at(("search", _BF16, "choices"), str(lacks_bf16(lacking[0])))
    if base.config.precision == "bf16":
        raise UserError(lacks_bf16(lacking[0], asked=f"{_BF16} ({base.origins[_BF16]})"))
    if space.finish.retrain and space.final_config({}).precision == "bf16":
        raise space.problem_at(("finish",), str(lacks_bf16(lacking[0])))


def _require_exportable(space: Space) -> None:
    """A study must not find out at its end that its winner cannot be exported."""
    if not space.finish.retrain:
        return
    model = space.base_config().config.model
    searched = space.search.get("model.pooling")
    choices = searched.choices if searched and searched.choices else [model.pooling]
    refused = [str(pooling) for pooling in choices if not exportable(model.name, pooling=str(pooling))]
    if refused:
        key = ("search", "model.pooling", "choices") if searched else ("set",)
        message = f"model.pooling {', '.join(refused)}: {model.name} cannot be exported to plain transformers"
        raise space.problem_at(key, f"{message}; leave it out, or set finish.retrain: false")
