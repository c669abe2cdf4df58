"""The baseline every trained model is compared with: TF-IDF of characters and logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from trainer.data.read import MASKED
from trainer.data.tasks import Task
from trainer.errors import UserError
from trainer.metrics import Scores, score

Labels = NDArray[np.int64]

#: Inverse regularisation; on COLD anything from 4 to 10 scores alike on dev and test.
_C = 5.0

#: Below so many texts n-grams seen once are kept, or hardly any would be left.
_FEW_TEXTS = 200


@dataclass(frozen=True)
class LabelledTexts:
    """Texts and their labels [N, T], `MASKED` where a row has none for a task."""

    texts: Sequence[str]
    labels_NT: Labels


def tfidf_baseline(train: LabelledTexts, *, test: LabelledTexts, tasks: Sequence[Task]) -> Scores:
    """Fit on `train`, score on `test` by the rule all training follows (`trainer.metrics`).

    Characters in 1- to 3-grams, one logistic regression a task; deterministic; seconds for 25,000 texts.
    Raises `UserError` for a task with fewer than two classes in `train`.
    """
    min_texts = 1 if len(train.texts) < _FEW_TEXTS else 2
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=min_texts, sublinear_tf=True)
    train_NV, test_NV = vectorizer.fit_transform(train.texts), vectorizer.transform(test.texts)
    columns = []
    for column, task in enumerate(tasks):
        labels_N = train.labels_NT[:, column]
        labelled = labels_N != MASKED
        columns.append(_fit(train_NV[labelled], labels_N[labelled], task=task).predict(test_NV))
    return score(np.stack(columns, axis=1), test.labels_NT, tasks=tasks)


def _fit(features_NV: object, labels_N: Labels, *, task: Task) -> LogisticRegression:
    if len(np.unique(labels_N)) < 2:
        raise UserError(f"baseline: task {task.name} has one class only in the training rows; add others")
    return LogisticRegression(C=_C, max_iter=1000).fit(features_NV, labels_N)
