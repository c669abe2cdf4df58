"""Values of hyperparameters, and of metrics, as a person reads them, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_METRICS = ("eval_f1_macro", "eval_accuracy", "eval_loss", "train_loss")


def values_line(values: Mapping[str, Any]) -> str:
    """`learning_rate 2e-05, pooling mean`: the last part of a key path is enough for a person."""
    return ", ".join(f"{key.rpartition('.')[2]} {short(value)}" for key, value in values.items())


def metrics_line(step: int, metrics: Mapping[str, float]) -> str:
    """`evaluation 2 | eval_f1_macro 0.8123 | eval_loss 0.4711`; what was not measured is left out."""
    shown = (f"{name} {metrics[name]:.4f}" for name in _METRICS if name in metrics)
    return f"evaluation {step} | {' | '.join(shown)}"


def short(value: Any) -> str:
    """A value as it stands in a space file; of a float as many digits as tell trials apart."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.3g}" if isinstance(value, float) else str(value)
