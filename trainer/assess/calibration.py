"""How far probabilities can be taken at their word, and the temperature that mends it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from trainer.assess.rule import softmax

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

#: equal-width bins of the expected calibration error, as in Guo et al. 2017 (arXiv 1706.04599)
BINS = 15
#: a temperature outside is a sign of too few rows, not of a model
COLDEST, HOTTEST = 0.1, 10.0


def calibration_error(probabilities_NC: Floats, labels_N: Ints) -> float:
    """Expected calibration error: |accuracy - confidence| of the label given, averaged over `BINS` bins."""
    if not len(labels_N):
        return 0.0
    sure_N = probabilities_NC.max(1)
    right_N = (probabilities_NC.argmax(1) == labels_N).astype(float)
    bin_N = np.minimum((sure_N * BINS).astype(int), BINS - 1)
    gaps_B = np.bincount(bin_N, weights=right_N - sure_N, minlength=BINS)
    return float(np.abs(gaps_B).sum() / len(labels_N))


def fit_temperature(logits_NC: Floats, labels_N: Ints) -> float:
    """The divisor of the logits under which the labels are most likely (Guo et al. 2017)."""
    rows_N = np.arange(len(labels_N))

    def surprise(log_temperature: float) -> float:
        shares_NC = softmax(logits_NC / np.exp(log_temperature))
        return float(-np.log(np.maximum(shares_NC[rows_N, labels_N], 1e-12)).mean())

    found = minimize_scalar(surprise, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x))
