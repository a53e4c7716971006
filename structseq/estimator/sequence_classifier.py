"""SequenceClassifier: a classifier of sequences with scikit-learn's interface."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from structseq.data.tokenizer import tokenizer_of
from structseq.errors import DataError
from structseq.estimator.base import SequenceEstimator, option
from structseq.estimator.samples import labelled_examples, sentences_of
from structseq.inference import Classification, Classifier


@dataclass(kw_only=True, eq=False, repr=False)
class SequenceClassifier(ClassifierMixin, SequenceEstimator):
    """A text classifier for cross-validation, grid search and pipelines; it can be pickled.

    ``X`` is a list of texts, which the tokenizer splits, or of sentences as in `SequenceTagger`. ``y`` has a label for
    each, all strings or all numbers. ``pooling`` (max, mean, last or attention) makes one vector of a sequence; other
    keywords, ``n_iter_`` and ``history_`` are those of `SequenceTagger`. ``classifier_`` is the fitted
    `structseq.Classifier`, ``classes_`` are the sorted labels.

    >>> X = ["a fine film", "a dull film", "fine indeed", "dull indeed"] * 8
    >>> y = [1, 0, 1, 0] * 8
    >>> classifier = SequenceClassifier(epochs=20, width=32, batch_sentences=4, learning_rate=0.01)
    >>> classifier.fit(X, y).predict(["fine", "dull"]).tolist()
    [1, 0]
    """

    predictor = (Classifier, "classifier_")
    fixed: ClassVar[Mapping[str, Any]] = {"head.type": "classify"}

    classifier_: Classifier = field(init=False)
    pooling: str | None = option("head.pooling")

    def fit(self, X: Any, y: Any = None, *, X_dev: Any = None, y_dev: Any = None) -> SequenceClassifier:
        """As `SequenceTagger.fit`; raises `DataError` also for fewer than two distinct labels."""
        self._check_dev_set(X_dev, y_dev)
        X, columns = self._with_columns(X)
        options = self.resolved_options(columns)
        reading: dict[str, Any] = {"columns": columns, "tokenizer": tokenizer_of(options.data.tokenizer)}
        train, labels = labelled_examples(X, y, **reading)
        classes = np.unique(labels)
        if len(classes) < 2:
            raise DataError(f"y: expected two labels or more, found {', '.join(map(repr, classes.tolist())) or 'none'}")
        dev = None
        if X_dev is not None:
            dev, dev_labels = labelled_examples(X_dev, y_dev, names=("X_dev", "y_dev"), **reading)
            if (dev_labels.dtype.kind == "U") != (labels.dtype.kind == "U"):
                raise DataError(
                    f"y_dev: expected labels as in y, {classes.tolist()[:2]!r}, found {dev_labels.tolist()[:2]!r}"
                )
            names = {label: str(label) for label in classes.tolist()}  # 1, 1.0 and True are one label
            answers = [{"label": names.get(label, str(label))} for label in dev_labels.tolist()]
            dev = [replace(example, targets=answer) for example, answer in zip(dev, answers, strict=True)]
        self._fit(train, dev, options)
        self.classes_ = classes
        return self

    def predict(self, X: Iterable[Any]) -> np.ndarray:
        """(N,) the most probable label of each text or sentence, of the type of ``y``."""
        names = np.array(self._names())
        order = np.argsort(names)
        found = np.array([answer.label for answer in self._answers(X)], dtype=names.dtype)
        return self.classes_[order[np.searchsorted(names, found, sorter=order)]]

    def predict_proba(self, X: Iterable[Any]) -> np.ndarray:
        """(N, classes) probabilities in the order of ``classes_``, calibrated on the dev set if there is one.

        A label that occurs only in held-out data has probability 0.
        """
        names = self._names()
        answers = self._answers(X)
        rows = [[answer.probabilities.get(name, 0.0) for name in names] for answer in answers]
        return np.array(rows, np.float64).reshape(len(answers), len(names))

    def _names(self) -> list[str]:
        check_is_fitted(self)
        return [str(label) for label in self.classes_.tolist()]

    def _answers(self, X: Iterable[Any]) -> list[Classification]:
        tokenizer = tokenizer_of(self.classifier_.tokenizer)
        sentences = sentences_of(X, "X", columns=self.classifier_.columns, tokenizer=tokenizer)
        return list(self.classifier_.classify_many(sentences))
