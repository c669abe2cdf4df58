"""Logits and labels with known properties, for tests of what is made of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.data.tasks import Task

TWO = Task("labels", ("0", "1"))


def skewed(rows: int, *, shift: float, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Two-class logits that tell the classes apart, but with the border `shift` off; and labels [N, 1]."""
    random = np.random.default_rng(seed)
    labels_N = random.integers(0, 2, rows)
    signal_N = np.where(labels_N == 1, 1.0, -1.0) + random.normal(0, 0.7, rows)
    return np.stack([-signal_N - shift, signal_N + shift], axis=1), labels_N[:, None]
