"""What the user set by hand: `--set key=value` and the flags that name a configuration key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

SET_HELP = "Set any configuration key, as in --set training.label_smoothing=0.1; may be repeated."

#: --storage of every command that has it; from the environment it is in no list of processes
StorageFlag = Annotated[
    str | None,
    typer.Option(
        envvar="CP_SEARCH_STORAGE",
        show_envvar=True,
        help="Storage of the studies, as in postgresql+psycopg://USER@HOST/DATABASE or grpc://HOST:13000.",
    ),
]


def read_settings(texts: Iterable[str], *, flags: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Key path -> value, from `--set` texts and from `flags` (key path -> value, None: not given).

    Raises:
        UserError: a text is not key=value, or one key is set to two values.
    """
    from trainer import UserError, parse_setting

    found = {key: value for key, value in (flags or {}).items() if value is not None}
    for text in texts:
        key, value = parse_setting(text)
        if key in found and found[key] != value:
            raise UserError(f"--set {text}: {key} is also set to {found[key]!r}; give it once")
        found[key] = value
    return found
