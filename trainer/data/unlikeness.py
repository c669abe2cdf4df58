"""How unlike two splits are: by labels, lengths, characters, and to a classifier that tells them apart."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from trainer.data.read import MASKED
from trainer.data.tasks import Task

#: Texts of each split the classifier sees.
SAMPLE = 5000

#: From here on two splits are called unlike, if chance does not explain it: COLD's train and dev come to
#: 0.50 and 0.005 (one source), its train and test to 0.58 and 0.10 (test was gathered apart).
UNLIKE_AUC = 0.55
UNLIKE_LABELS = 0.05

#: Chance is ruled out beyond so many standard errors of an AUC of 0.5, and below so small a p of chi².
_ERRORS = 4.0
_SMALL_P = 0.001

_FEATURES = 2**15
_FOLDS = 2


Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Texts of one split and their labels [N, T], `MASKED` where a row has none."""

    texts: Sequence[str]
    labels_NT: NDArray[np.int64]


@dataclass(frozen=True)
class Unlikeness:
    """How unlike `second` is to `first`.

    label_shift: task -> total variation distance of the class shares, 0 (alike) to 1.
    length_shift: Kolmogorov-Smirnov distance of the lengths in characters, 0 to 1.
    unseen_bigrams: share of the second's character bigrams, as they occur, that the first has nowhere.
    auc: of a classifier that tells the two apart, cross-validated; 0.5: it cannot, 1: it always can.
        None: too few texts to say.
    told_apart, shifted_tasks: whether that classifier, and which tasks' class shares, show more than chance.
    """

    first: str
    second: str
    label_shift: Mapping[str, float]
    length_shift: float
    unseen_bigrams: float
    auc: float | None
    told_apart: bool
    shifted_tasks: tuple[str, ...]


def compare(
    first: Part, second: Part, *, names: tuple[str, str], tasks: Sequence[Task], seed: int
) -> Unlikeness:
    """Measure how unlike two splits are; `seed` draws the texts the classifier sees."""
    tables = {task.name: _table(first, second, column=column, task=task) for column, task in enumerate(tasks)}
    shifts = {name: _shift(table_2C) for name, table_2C in tables.items() if table_2C.any(axis=1).all()}
    auc = _auc(first.texts, second.texts, seed=seed)
    return Unlikeness(
        *names,
        label_shift=shifts,
        length_shift=_length_shift(first.texts, second.texts),
        unseen_bigrams=_unseen_bigrams(first.texts, second.texts),
        auc=auc,
        told_apart=auc is not None and auc >= _chance_auc(len(first.texts), len(second.texts)),
        shifted_tasks=tuple(name for name in shifts if _shifted(tables[name])),
    )


def _table(first: Part, second: Part, *, column: int, task: Task) -> Counts:
    """Rows of each class [2, C] in the two splits."""
    return np.stack(
        [_counts(part.labels_NT[:, column], classes=len(task.classes)) for part in (first, second)]
    )


def _counts(labels_N: Counts, *, classes: int) -> Counts:
    return np.bincount(labels_N[labels_N != MASKED], minlength=classes)


def _shift(table_2C: Counts) -> float:
    shares_2C = table_2C / table_2C.sum(axis=1, keepdims=True)
    return float(np.abs(shares_2C[0] - shares_2C[1]).sum() / 2)


def _shifted(table_2C: Counts) -> bool:
    present = table_2C[:, table_2C.any(axis=0)]
    return _shift(table_2C) >= UNLIKE_LABELS and bool(chi2_contingency(present).pvalue < _SMALL_P)


def _chance_auc(first: int, second: int) -> float:
    """The AUC that chance hardly reaches: its standard error at 0.5 is the Mann-Whitney statistic's."""
    first, second = min(first, SAMPLE), min(second, SAMPLE)
    error = math.sqrt((first + second + 1) / (12 * first * second))
    return max(UNLIKE_AUC, 0.5 + _ERRORS * error)


def _length_shift(first: Sequence[str], second: Sequence[str]) -> float:
    """The largest gap between the two cumulative distributions of length."""
    lengths = [np.sort([len(text) for text in texts]) for texts in (first, second)]
    every = np.unique(np.concatenate(lengths))
    below = [np.searchsorted(sorted_, every, side="right") / len(sorted_) for sorted_ in lengths]
    return float(np.abs(below[0] - below[1]).max())


def _unseen_bigrams(first: Sequence[str], second: Sequence[str]) -> float:
    seen = {bigram for text in first for bigram in _bigrams(text)}
    counts = Counter(bigram for text in second for bigram in _bigrams(text))
    total = counts.total()
    return sum(count for bigram, count in counts.items() if bigram not in seen) / total if total else 0.0


def _bigrams(text: str) -> list[str]:
    return [text[start : start + 2] for start in range(len(text) - 1)]


def _auc(first: Sequence[str], second: Sequence[str], *, seed: int) -> float | None:
    """Held-out AUC of logistic regression on characters and their bigrams."""
    rng = np.random.default_rng(seed)
    texts = [*_drawn(first, rng), *_drawn(second, rng)]
    sides = np.repeat([0, 1], [min(len(first), SAMPLE), min(len(second), SAMPLE)])
    if min(np.bincount(sides, minlength=2)) < 10 * _FOLDS:
        return None
    vectorizer = HashingVectorizer(
        analyzer="char", ngram_range=(1, 2), n_features=_FEATURES, alternate_sign=False
    )
    features = vectorizer.transform(texts)
    scores = []
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    for fitted, held_out in folds.split(features, sides):
        model = LogisticRegression(max_iter=200).fit(features[fitted], sides[fitted])
        scores.append(roc_auc_score(sides[held_out], model.decision_function(features[held_out])))
    return float(np.mean(scores))


def _drawn(texts: Sequence[str], rng: np.random.Generator) -> list[str]:
    chosen = rng.permutation(len(texts))[:SAMPLE]
    return [texts[index] for index in chosen]
