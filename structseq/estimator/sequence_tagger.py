"""SequenceTagger: a tagger with scikit-learn's interface (Buitinck et al. 2013, section 2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from structseq.data.example import Example
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError
from structseq.estimator.base import SequenceEstimator, option
from structseq.estimator.samples import examples_of, token_sentences
from structseq.evaluation import entity_f1
from structseq.inference import Tagger
from structseq.tasks.legality import gold_in


class _RaggedList(list[Any]):
    """A list of one list a sentence; as an array (N,) it holds the lists, so that scikit-learn can join folds."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = np.empty(len(self), object)
        array[:] = self[:]
        return array


@dataclass(kw_only=True, eq=False, repr=False)
class SequenceTagger(SequenceEstimator):
    """A sequence tagger for cross-validation, grid search and pipelines; it can be pickled.

    ``X`` is a list of sentences: lists of tokens, `Example`, mappings with ``tokens`` and further columns, or lists of
    feature dicts with the token under ``token``, ``word`` or ``text``. ``y`` has a list of tags for each: spans in any
    common scheme, or plain tags. Keywords set options; None keeps the default.

    Parameters
    ----------
    head:
        The structured layer: crf, softmax, hmm, perceptron or svm.
    scheme, repair:
        Scheme of ``y``, by default detected; policy for illegal tags: conlleval (the default), drop or refuse.
    tokenizer:
        Name of the tokenizer for `Tagger.tag_text`.
    encoder, layers, width, dropout:
        Encoder type, number of layers, units per direction, locked dropout.
    word_width, character_width, vectors, input_dropout:
        Widths of word and character vectors (0 for none), file of pretrained vectors, locked dropout on the input.
    epochs, patience:
        Maximum number of epochs, and of epochs without a better dev score.
    batch_sentences, learning_rate, weight_decay:
        Sentences per batch, AdamW's peak learning rate and weight decay.
    validation_fraction:
        Share of the sentences that `fit` holds out if it gets no dev set; with 0, all epochs run.
    columns:
        Names of further input columns; by default all features of dicts. Numbers become strings, missing features the
        empty string.
    options:
        Other options, nested or dotted, such as ``{"training.clip": 5.0}``; keywords override them.
    device:
        Device for training, such as auto, cpu or cuda; the fitted tagger is on the CPU.
    random_state:
        Seed; None draws one from NumPy's global state.
    verbose:
        1 prints a line per epoch.

    Attributes
    ----------
    tagger_, classes_:
        The fitted `structseq.Tagger` and its tags.
    n_iter_, history_:
        Number of epochs, and epoch, loss, dev_score and learning_rate of each.

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
        """Train; keeps the epoch with the best dev score.

        Raises `DataError` for an invalid X or y, `ConfigError` for an invalid option.
        """
        self._check_dev_set(X_dev, y_dev)
        X, columns = self._with_columns(X)
        options = self.resolved_options(columns)
        tokenizer_of(options.data.tokenizer)
        train = examples_of(X, y, columns=columns)
        dev = None if X_dev is None else examples_of(X_dev, y_dev, columns=columns, names=("X_dev", "y_dev"))
        self._fit(train, dev, options)
        self.classes_ = np.array(self.tagger_.labels)
        return self

    def predict(self, X: Iterable[Any]) -> list[list[str]]:
        """The tags of each sentence."""
        sentences = self._sentences(X)
        return _RaggedList(map(list, self.tagger_.predict(sentences)))

    def predict_marginals(self, X: Iterable[Any]) -> list[list[dict[str, float]]]:
        """For each token of each sentence, the exact marginal probability of each tag.

        Raises `ConfigError` for an hmm, perceptron or svm head without a fitted temperature.
        """
        return self._marginals(X, "predict_marginals")

    def predict_proba(self, X: Iterable[Any]) -> list[np.ndarray]:
        """For each sentence (L, classes) `predict_marginals` in the order of ``classes_``."""
        marginals = self._marginals(X, "predict_proba")
        rows = [[[token[tag] for tag in self.classes_] for token in sentence] for sentence in marginals]
        return _RaggedList(np.array(each, np.float64).reshape(len(each), len(self.classes_)) for each in rows)

    def _marginals(self, X: Iterable[Any], call: str) -> list[list[dict[str, float]]]:
        sentences = self._sentences(X)
        taggings = self.tagger_.tag_many(sentences, confidence=False, marginals=True)
        marginals = [tagging.marginals for tagging in taggings]
        known = [list(map(dict, each)) for each in marginals if each is not None]
        if len(known) < len(marginals):
            raise ConfigError(
                f"{call}: this head has probabilities only after a temperature is fitted on a dev set; "
                "give X_dev and y_dev, leave validation_fraction above 0, or use head crf or softmax"
            )
        return known

    def _sentences(self, X: Iterable[Any]) -> list[Example]:
        check_is_fitted(self)
        return token_sentences(X, "X", columns=self.tagger_.columns)

    def score(self, X: Any, y: Any = None) -> float:
        """`entity_f1` of the predictions; ``y`` may be in another scheme than that of `fit`."""
        check_is_fitted(self)
        examples, scheme = examples_of(X, y, columns=self.tagger_.columns), self.tagger_.scheme
        data = self.tagger_.model.options.data
        gold, _ = gold_in(examples, scheme, data, option="repair={!r}")
        return float(entity_f1([example.tags for example in gold], self.tagger_.predict(examples), scheme))

    def __sklearn_tags__(self) -> Any:
        """Each sample has a list of tags, so scikit-learn cannot stratify."""
        tags = super().__sklearn_tags__()
        tags.target_tags.one_d_labels = False
        return tags
