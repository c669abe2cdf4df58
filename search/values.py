"""Values of hyperparameters as a person writes them, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def values_line(values: Mapping[str, Any]) -> str:
    """`learning_rate 2e-05, pooling mean`: the last part of a key path is enough for a person."""
    return ", ".join(f"{key.rpartition('.')[2]} {short(value)}" for key, value in values.items())


def short(value: Any) -> str:
    """A value as it stands in a space file; of a float as many digits as tell trials apart."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.3g}" if isinstance(value, float) else str(value)
