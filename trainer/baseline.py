"""The baseline every trained model is compared with: TF-IDF of characters and logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from trainer.data.read import MASKED
from trainer.data.tasks import Task
from trainer.errors import UserError
from trainer.metrics import score

Labels = NDArray[np.int64]

#: Inverse regularisations tried; the one with the best macro-F1 on validation is taken.
STRENGTHS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
#: Taken where there are no validation rows to choose on: scikit-learn's own default.
UNCHOSEN = 1.0

#: what it is, in words
NAME = "TF-IDF of characters (1- to 3-grams) and logistic regression"

#: Below so many texts n-grams seen once are kept, or hardly any would be left.
_FEW_TEXTS = 200


@dataclass(frozen=True)
class LabelledTexts:
    """Texts and their labels [N, T], `MASKED` where a row has none for a task."""

    texts: Sequence[str]
    labels_NT: Labels


@dataclass(frozen=True)
class Baseline:
    """The baseline's probabilities [N, C] on the test rows, by task, and how its C was found.

    strength: C by task. chosen_on: where it was chosen, in words; never on the test rows.
    """

    probabilities: tuple[NDArray[np.float64], ...]
    strength: dict[str, float]
    chosen_on: str


def tfidf_baseline(
    train: LabelledTexts, *, val: LabelledTexts | None, test: LabelledTexts, tasks: Sequence[Task]
) -> Baseline:
    """Fit on `train`, choose C on `val` (None: `UNCHOSEN`), say how likely each class is on `test`.

    Characters in 1- to 3-grams, one logistic regression a task; deterministic; about a minute for 25,000
    texts. Raises `UserError` for a task with fewer than two classes in `train`.
    """
    min_texts = 1 if len(train.texts) < _FEW_TEXTS else 2
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=min_texts, sublinear_tf=True)
    train_NV, test_NV = vectorizer.fit_transform(train.texts), vectorizer.transform(test.texts)
    val_NV = vectorizer.transform(val.texts) if val is not None else None
    found, strength = [], {}
    for column, task in enumerate(tasks):
        known = _Labelled(task, train_NV, train.labels_NT[:, column]).known()
        judges = _Labelled(task, val_NV, val.labels_NT[:, column]).known() if val is not None else None
        model, strength[task.name] = _chosen(known, judges)
        found.append(_spread(model, test_NV, size=len(task.classes)))
    return Baseline(tuple(found), strength, "the validation rows" if val is not None else "nothing (default)")


@dataclass(frozen=True)
class _Labelled:
    """Features and labels of one task."""

    task: Task
    features_NV: Any
    labels_N: Labels

    def known(self) -> _Labelled:
        """The rows that have a label."""
        rows = self.labels_N != MASKED
        return _Labelled(self.task, self.features_NV[rows], self.labels_N[rows])


def _chosen(train: _Labelled, judges: _Labelled | None) -> tuple[LogisticRegression, float]:
    """The model with the best macro-F1 on `judges`, of equals the most regularised, and its C."""
    if len(np.unique(train.labels_N)) < 2:
        name = train.task.name
        raise UserError(f"baseline: task {name} has one class only in the training rows; add others")
    if judges is None or not len(judges.labels_N):
        return _fit(train, UNCHOSEN), UNCHOSEN
    models = [(_fit(train, strength), strength) for strength in STRENGTHS]
    return max(models, key=lambda pair: _macro(pair[0], judges))


def _fit(train: _Labelled, strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=1000).fit(train.features_NV, train.labels_N)


def _macro(model: LogisticRegression, judges: _Labelled) -> float:
    predicted_N1 = model.predict(judges.features_NV).astype(np.int64)[:, None]
    return score(predicted_N1, judges.labels_N[:, None], tasks=[judges.task]).f1_macro


def _spread(model: LogisticRegression, features_NV: Any, *, size: int) -> NDArray[np.float64]:
    """Probabilities with a column for every class of the task; a class that was never seen gets 0."""
    shares_NC = np.zeros((features_NV.shape[0], size))
    shares_NC[:, model.classes_.astype(int)] = model.predict_proba(features_NV)
    return shares_NC
