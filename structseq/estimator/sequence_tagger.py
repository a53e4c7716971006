"""SequenceTagger: a tagger with scikit-learn's interface (Buitinck et al. 2013, "API design for machine learning
software", section 2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError
from structseq.estimator.base import SequenceEstimator, option
from structseq.estimator.samples import examples_of
from structseq.evaluation import entity_f1
from structseq.inference import Tagger


@dataclass(kw_only=True, eq=False, repr=False)
class SequenceTagger(SequenceEstimator):
    """A sequence tagger for cross-validation, grid search and pipelines; it can be pickled.

    ``X`` is a list of sentences, each a list of tokens (or an `Example`, or a mapping with ``tokens`` and further
    columns), ``y`` a list of tag lists. Tags are spans in any common scheme, found from ``y``, or plain tags.

    Keywords set options of `structseq.config.Options`; None keeps the default.

    Parameters
    ----------
    head:
        The structured layer: crf, softmax, hmm, perceptron or svm.
    scheme:
        Scheme of the tags in ``y``; detected by default.
    repair:
        How to repair illegal tag sequences, see `structseq.spans.REPAIRS`; they are an error by default.
    tokenizer:
        Name of the tokenizer that `Tagger.tag_text` of the fitted tagger uses.
    encoder, layers, width, dropout:
        The encoder: its type, number of layers, units per direction, and locked dropout.
    word_width, character_width, vectors, input_dropout:
        Widths of word vectors and of vectors made from characters (0 for none), a file of pretrained vectors, and
        locked dropout on the whole input.
    epochs, patience, batch_sentences, learning_rate, weight_decay:
        Maximum number of epochs, epochs without a better dev score before training stops, sentences per batch, AdamW's
        peak learning rate and weight decay.
    validation_fraction:
        Share of the sentences that `fit` holds out as the dev set if it gets none. With 0 there is no dev set, and
        all epochs run.
    columns:
        Names of further input columns; sentences must be mappings or examples that have them.
    options:
        Any other options, nested or by dotted name, such as ``{"training.clip": 5.0}``; keywords override them.
    device:
        auto, cpu, cuda, ... for training; the fitted tagger is on the CPU.
    random_state:
        The seed of all random choices; None draws one from NumPy's global state.
    verbose:
        1 prints a line per epoch.

    Attributes
    ----------
    tagger_:
        The fitted `structseq.Tagger`.
    classes_:
        Its tags.
    n_iter_, history_:
        The number of epochs, and a record of each: epoch, loss, dev_score, learning_rate.

    Examples
    --------
    >>> X = [["to", "Taipei"], ["from", "Taipei"]] * 8
    >>> y = [["O", "B-to"], ["O", "B-from"]] * 8
    >>> tagger = SequenceTagger(epochs=20, width=64, batch_sentences=4, learning_rate=0.01, validation_fraction=0)
    >>> tagger.fit(X, y).predict([["from", "Taipei"]])
    [['O', 'B-from']]
    """

    predictor = (Tagger, "tagger_")

    tagger_: Tagger = field(init=False)
    head: str | None = option("head.type")
    scheme: str | None = option("data.scheme")
    repair: str | None = option("data.repair")

    def fit(self, X: Any, y: Any = None, *, X_dev: Any = None, y_dev: Any = None) -> SequenceTagger:
        """Train on sentences and their tags; keeps the epoch with the best dev score.

        Raises `DataError` for an invalid X or y, `ConfigError` for an option that is unknown or out of range.
        """
        self._check_dev_set(X_dev, y_dev)
        options = self.resolved_options()
        tokenizer_of(options.data.tokenizer)
        train = examples_of(X, y, columns=self.columns)
        dev = None if X_dev is None else examples_of(X_dev, y_dev, columns=self.columns, names=("X_dev", "y_dev"))
        self._fit(train, dev, options)
        self.classes_ = np.array(self.tagger_.labels)
        return self

    def predict(self, X: Iterable[Any]) -> list[list[str]]:
        """The tags of each sentence."""
        check_is_fitted(self)
        return [list(tags) for tags in self.tagger_.predict(X)]

    def predict_marginals(self, X: Iterable[Any]) -> list[list[dict[str, float]]]:
        """For each token of each sentence the exact posterior probability of each tag.

        Raises `ConfigError` for a margin-trained head (perceptron, svm) without a fitted temperature.
        """
        check_is_fitted(self)
        marginals = [tagging.marginals for tagging in self.tagger_.tag_many(X, confidence=False, marginals=True)]
        known = [list(map(dict, each)) for each in marginals if each is not None]
        if len(known) < len(marginals):
            raise ConfigError(
                "predict_marginals: scores learned by a margin are no probabilities until a temperature is fitted; "
                "hold data out for it, or use head crf or softmax"
            )
        return known

    def score(self, X: Any, y: Any = None) -> float:
        """Entity F1 (micro, by conlleval's rule), or accuracy if tags are plain; 0 to 1."""
        check_is_fitted(self)
        examples = examples_of(X, y, columns=self.columns)
        predicted = self.tagger_.predict(examples)
        return float(entity_f1([example.tags for example in examples], predicted, self.tagger_.scheme))

    def __sklearn_tags__(self) -> Any:
        """A sample has a list of classes, so scikit-learn cannot stratify by them."""
        tags = super().__sklearn_tags__()
        tags.target_tags.one_d_labels = False
        return tags
