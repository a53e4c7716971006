"""SequenceTagger: training and tagging with the manners of scikit-learn.

They are those of Buitinck et al. (2013), "API design for machine learning software", section 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError
from structseq.estimator.base import SequenceEstimator
from structseq.estimator.samples import examples_of
from structseq.evaluation import entity_f1
from structseq.inference import Tagger


class SequenceTagger(SequenceEstimator):
    """A sequence tagger that cross-validates, searches grids, stands in pipelines and pickles.

    ``X`` is a list of sentences, each a list of tokens (or an `Example`, or a mapping with ``tokens`` and further
    columns), ``y`` a list of tag lists. Tags are spans in any common scheme, found from ``y``, or plain tags.

    Every keyword is one option of `structseq.config.Options`; None leaves it to the default recipe.

    Parameters
    ----------
    head:
        The structured layer: crf, softmax, hmm, perceptron or svm.
    scheme:
        Scheme of the tags in ``y``; by default it is found.
    repair:
        What to do with illegal tag sequences, see `structseq.spans.REPAIRS`; by default they are refused.
    tokenizer:
        Name of the tokenizer that `Tagger.tag_text` of the fitted tagger cuts text by.
    encoder, layers, width, dropout:
        The recurrent network: its kind, depth, units a direction, and locked dropout.
    word_width, character_width, vectors, input_dropout:
        Widths of word vectors and of word vectors made from characters (0 turns them off), a file of pretrained
        vectors, and locked dropout on the whole input.
    epochs, patience, batch_sentences, learning_rate, weight_decay:
        Training: passes at most, passes without a better dev score, sentences a batch, AdamW's peak rate and decay.
    validation_fraction:
        Share of the sentences held out to choose the best epoch by, where `fit` gets no dev set; 0 holds none out, and
        then all epochs are run.
    columns:
        Names of further input columns; sentences are then mappings or examples that have them.
    options:
        Any other options, nested or by dotted name, such as ``{"training.clip": 5.0}``; keywords go before them.
    device:
        auto, cpu, cuda, ... for training; the fitted tagger is on the CPU.
    random_state:
        One seed decides everything. None draws one from NumPy's global state.
    verbose:
        1 prints a line an epoch.

    Attributes
    ----------
    tagger_:
        The fitted `structseq.Tagger`.
    classes_:
        The tags that it may answer with.
    n_iter_:
        Passes made.
    history_:
        A record for each of them: epoch, loss, dev score, learning rate.

    Examples
    --------
    >>> X = [["to", "Taipei"], ["from", "Taipei"]] * 8
    >>> y = [["O", "B-to"], ["O", "B-from"]] * 8
    >>> tagger = SequenceTagger(epochs=20, width=64, batch_sentences=4, learning_rate=0.01, validation_fraction=0)
    >>> tagger.fit(X, y).predict([["from", "Taipei"]])
    [['O', 'B-from']]
    """

    predictor = (Tagger, "tagger_")

    tagger_: Tagger

    def __init__(
        self,
        *,
        head: str | None = None,
        scheme: str | None = None,
        repair: str | None = None,
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
        self.head = head
        self.scheme = scheme
        self.repair = repair
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

    # -- learning -----------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, X_dev: Any = None, y_dev: Any = None) -> SequenceTagger:
        """Learn from sentences and their tags; the best epoch on the dev set, given or held out, is kept.

        Raises
        ------
        DataError
            X or y is not what it should be, or the tags are of no one scheme.
        ConfigError
            A keyword or an option that is unknown or out of range.
        """
        self._refuse_half_a_dev_set(X_dev, y_dev)
        options = self.resolved_options()
        tokenizer_of(options.data.tokenizer)
        train = examples_of(X, y, columns=self.columns)
        dev = None if X_dev is None else examples_of(X_dev, y_dev, columns=self.columns, names=("X_dev", "y_dev"))
        self._fit(train, dev, options)
        self.classes_ = np.array(self.tagger_.labels)
        return self

    # -- answering ----------------------------------------------------------------------------------------------------

    def predict(self, X: Iterable[Any]) -> list[list[str]]:
        """The tags of each sentence."""
        check_is_fitted(self)
        return [list(tags) for tags in self.tagger_.predict(X)]

    def predict_marginals(self, X: Iterable[Any]) -> list[list[dict[str, float]]]:
        """For each token of each sentence the exact posterior probability of each tag.

        Raises `ConfigError` where the scores were learned by a margin and no temperature could be fitted.
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
        """Entity F1 (micro, by conlleval's rule), or accuracy where tags are plain; 0 to 1."""
        check_is_fitted(self)
        examples = examples_of(X, y, columns=self.columns)
        predicted = self.tagger_.predict(examples)
        return float(entity_f1([example.tags for example in examples], predicted, self.tagger_.scheme))

    # -- manners ------------------------------------------------------------------------------------------------------

    def __sklearn_tags__(self) -> Any:
        """No classifier in scikit-learn's sense: one sample has a list of classes, which it cannot stratify by."""
        tags = super().__sklearn_tags__()
        tags.target_tags.one_d_labels = False
        return tags
