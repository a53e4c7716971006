"""SequenceClassifier: one label for a whole sequence, with the manners of scikit-learn's classifiers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError, DataError
from structseq.estimator.base import SequenceEstimator
from structseq.estimator.samples import labelled_examples, sentences_of
from structseq.inference import Classification, Classifier


class SequenceClassifier(ClassifierMixin, SequenceEstimator):
    """A classifier of texts that cross-validates, searches grids, stands in pipelines and pickles.

    ``X`` is a list of texts, which the tokenizer cuts, or of sentences: lists of tokens, `Example`, or mappings with
    ``tokens`` and further columns. ``y`` has one label for each: strings, numbers, whatever NumPy sorts.

    Every keyword is one option of `structseq.config.Options`; None leaves it to the default recipe. Those not named
    here are as in `SequenceTagger`.

    Parameters
    ----------
    pooling:
        How a sequence becomes one vector: max (where None), mean, last or attention.

    Attributes
    ----------
    classifier_:
        The fitted `structseq.Classifier`.
    classes_:
        The labels, sorted.
    n_iter_, history_:
        Passes made, and a record for each of them.

    Examples
    --------
    >>> X = ["a fine film", "a dull film", "fine indeed", "dull indeed"] * 8
    >>> y = [1, 0, 1, 0] * 8
    >>> classifier = SequenceClassifier(epochs=20, width=32, batch_sentences=4, learning_rate=0.01)
    >>> classifier.fit(X, y).predict(["fine", "dull"]).tolist()
    [1, 0]
    >>> classifier.predict_proba(["fine"]).shape
    (1, 2)
    """

    predictor = (Classifier, "classifier_")
    fixed: ClassVar[Mapping[str, Any]] = {"head.type": "classify"}

    classifier_: Classifier

    def __init__(
        self,
        *,
        pooling: str | None = None,
        tokenizer: str | None = None,
        encoder: str | None = None,
        layers: int | None = None,
        width: int | None = None,
        dropout: float | None = None,
        word_width: int | None = None,
        character_width: int | None = None,
        vectors: str | None = None,
        input_dropout: float | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        batch_sentences: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        validation_fraction: float | None = None,
        columns: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        device: str | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.pooling = pooling
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.layers = layers
        self.width = width
        self.dropout = dropout
        self.word_width = word_width
        self.character_width = character_width
        self.vectors = vectors
        self.input_dropout = input_dropout
        self.epochs = epochs
        self.patience = patience
        self.batch_sentences = batch_sentences
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.columns = columns
        self.options = options
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None, *, X_dev: Any = None, y_dev: Any = None) -> SequenceClassifier:
        """Learn from texts or sentences and their labels; the best epoch on the dev set, given or held out, is kept.

        Raises
        ------
        DataError
            X or y is not what it should be, or there are fewer than two labels.
        ConfigError
            A keyword or an option that is unknown or out of range.
        """
        self._refuse_half_a_dev_set(X_dev, y_dev)
        options = self.resolved_options()
        reading: dict[str, Any] = {"columns": self.columns, "tokenizer": tokenizer_of(options.data.tokenizer)}
        train, labels = labelled_examples(X, y, **reading)
        classes = np.unique(labels)
        if len(classes) < 2:
            raise DataError(f"y: expected two labels or more, found {', '.join(map(repr, classes.tolist())) or 'none'}")
        dev = None
        if X_dev is not None:
            dev, given = labelled_examples(X_dev, y_dev, names=("X_dev", "y_dev"), **reading)
            if (given.dtype.kind == "U") != (labels.dtype.kind == "U"):
                raise DataError(
                    f"y_dev: expected labels as in y, {classes.tolist()[:2]!r}, found {given.tolist()[:2]!r}"
                )
            names = {label: str(label) for label in classes.tolist()}  # 1, 1.0 and True are one label
            answers = [{"label": names.get(label, str(label))} for label in given.tolist()]
            dev = [replace(example, targets=answer) for example, answer in zip(dev, answers, strict=True)]
        self._fit(train, dev, options)
        self.classes_ = classes
        return self

    def predict(self, X: Iterable[Any]) -> np.ndarray:
        """(N,) the most probable label of each text or sentence, as ``y`` had it."""
        names = np.array([str(label) for label in self._classes().tolist()])
        order = np.argsort(names)
        found = np.array([answer.label for answer in self._answers(X)], dtype=names.dtype)
        return self.classes_[order[np.searchsorted(names, found, sorter=order)]]

    def predict_proba(self, X: Iterable[Any]) -> np.ndarray:
        """(N, classes) probabilities, columns in the order of ``classes_``, at the temperature fitted on the dev set.

        A label that only ever stood in what was held out has probability 0. Raises `ConfigError` where nothing was held
        out and no dev set was given.
        """
        names = [str(label) for label in self._classes().tolist()]
        answers = self._answers(X)
        if any(answer.confidence is None for answer in answers):
            raise ConfigError(
                "predict_proba: confidences are fitted on a dev set with labels that training has, and there was none; "
                "give X_dev and y_dev, or leave validation_fraction above 0"
            )
        rows = [[answer.probabilities.get(name, 0.0) for name in names] for answer in answers]
        return np.array(rows, np.float64).reshape(len(answers), len(names))

    def _classes(self) -> np.ndarray:
        check_is_fitted(self)
        return self.classes_

    def _answers(self, X: Iterable[Any]) -> list[Classification]:
        tokenizer = tokenizer_of(self.classifier_.tokenizer)
        sentences = sentences_of(X, "X", columns=self.classifier_.columns, tokenizer=tokenizer)
        return list(self.classifier_.classify_many(sentences))
