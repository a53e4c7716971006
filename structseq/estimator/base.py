"""SequenceEstimator: options, training and pickling of both estimators."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from structseq.config import Options, merge
from structseq.data.example import Example
from structseq.data.reading import Corpus
from structseq.errors import ConfigError, DataError
from structseq.estimator.samples import feature_names
from structseq.inference import Predictor
from structseq.run import CorpusFiles, prepare_corpus, train_and_save
from structseq.run.identity import versions
from structseq.section import flatten
from structseq.training import Progress

# Options that are tables with names from the user; a dot in such a name does not nest
_TABLES_OF_USER_NAMES = ("data.columns", "head.costs")


def option(name: str) -> Any:
    """A keyword that sets the option ``name``; None keeps the default."""
    return field(default=None, metadata={"option": name})


@dataclass(kw_only=True, eq=False, repr=False)
class SequenceEstimator(BaseEstimator):
    """A model with scikit-learn's interface."""

    # The class of the fitted predictor, and the name of the attribute that holds it
    predictor: ClassVar[tuple[type[Predictor], str]]
    # Options that the estimator always sets
    fixed: ClassVar[Mapping[str, Any]] = {}

    tokenizer: str | None = option("data.tokenizer")
    encoder: str | None = option("encoder.type")
    layers: int | None = option("encoder.layers")
    width: int | None = option("encoder.width")
    dropout: float | None = option("encoder.dropout")
    word_width: int | None = option("inputs.words.width")
    character_width: int | None = option("inputs.characters.width")
    vectors: str | None = option("inputs.words.vectors")
    input_dropout: float | None = option("inputs.dropout")
    epochs: int | None = option("training.epochs")
    patience: int | None = option("training.patience")
    batch_sentences: int | None = option("training.batch_sentences")
    learning_rate: float | None = option("training.learning_rate")
    weight_decay: float | None = option("training.weight_decay")
    validation_fraction: float | None = option("training.validation_fraction")
    device: str | None = option("training.device")
    columns: Sequence[str] = ()
    options: Mapping[str, Any] | None = None
    random_state: int | np.random.RandomState | None = 0
    verbose: int = 0

    def resolved_options(self, columns: Sequence[str] = ()) -> Options:
        """Keywords override ``options``, which override the defaults; raises `ConfigError` for an invalid option.

        ``columns`` are those of X, for an estimator that names none.
        """
        named = {each.metadata["option"]: getattr(self, each.name) for each in fields(self) if each.metadata}
        keywords = {name: value for name, value in named.items() if value is not None}
        if keywords.get("training.validation_fraction") == 0:
            del keywords["training.validation_fraction"]
        if isinstance(self.columns, str):
            raise ConfigError(f"columns: expected a list of names, found the text {self.columns!r}")
        columns = self.columns or columns
        numbered = {"data": {"columns": {name: place for place, name in enumerate(columns, start=1)}}}
        options = nested(self.options or {})
        given = dict(flatten(options))
        for name, value in self.fixed.items():
            if given.get(name, value) != value:
                raise ConfigError(f"options: {name} is {value!r} for a {type(self).__name__}, found {given[name]!r}")
        return Options.of(options, numbered if columns else {}, nested(keywords), nested(self.fixed))

    def _fit(self, train: Sequence[Example], dev: Sequence[Example] | None, options: Options) -> None:
        """Train and set the predictor; if ``dev`` is None, hold out a share of ``train``."""
        seed, corpus = self._seed(), Corpus(tuple(train), tuple(dev or ()))
        hold_out = dev is None and self.validation_fraction != 0 and sum(map(bool, map(len, train))) > 1
        prepared = prepare_corpus(
            options, corpus, seed=seed, names=CorpusFiles("X", "X_dev"), hold=hold_out, repair_option="repair={!r}"
        )
        for remark in prepared.remarks:
            warnings.warn(remark, UserWarning, stacklevel=3)
        self.history_: list[dict[str, Any]] = []
        trained = train_and_save(prepared, options, seed=seed, show=lambda: nullcontext(self._record_epoch))
        self.n_iter_ = trained.outcome.epochs
        provenance = {"seed": seed, "sentences": len(prepared.corpus.train), "versions": versions()}
        predictor, attribute = self.predictor
        model, metrics, entities = trained.model.to("cpu"), trained.metrics, trained.entities
        tokenizer = options.data.tokenizer
        fitted = predictor(model, tokenizer=tokenizer, metrics=metrics, provenance=provenance, entities=entities)
        setattr(self, attribute, fitted)

    def _with_columns(self, X: Any) -> tuple[Any, Sequence[str]]:
        """X as a list, if it can be one, and the names of the columns: the estimator's, or all features of dicts."""
        if isinstance(X, str | Mapping) or not isinstance(X, Iterable):
            return X, self.columns
        X = list(X)
        return X, self.columns or feature_names(X)

    @staticmethod
    def _check_dev_set(X_dev: Any, y_dev: Any) -> None:
        if X_dev is None and y_dev is not None:
            raise DataError("expected X_dev with y_dev, found y_dev alone; give both, or neither")

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)) and not isinstance(self.random_state, bool):
            if self.random_state < 0:
                raise ConfigError(f"random_state: expected a seed of at least 0, found {self.random_state}")
            return int(self.random_state)
        try:
            return int(check_random_state(self.random_state).randint(2**31 - 1))
        except ValueError:
            found = repr(self.random_state)
            raise ConfigError(f"random_state: expected a whole number, a RandomState or None, found {found}") from None

    def _record_epoch(self, progress: Progress, _: Any) -> None:
        if not progress.ends_epoch:
            return
        names = ("epoch", "loss", "dev_score", "learning_rate")
        self.history_.append({name: getattr(progress, name) for name in names})
        if self.verbose:
            dev = "" if progress.dev_score is None else f"  dev {progress.dev_score:.4f}"
            print(f"epoch {progress.epoch}  loss {progress.loss:.4f}{dev}")

    # -- scikit-learn's protocols --------------------------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, self.predictor[1])

    def __sklearn_tags__(self) -> Any:
        """Samples are sentences, not rows of a matrix; `fit` checks them."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """The fitted predictor is stored as the files of its folder."""
        state, attribute = dict(super().__getstate__()), self.predictor[1]
        if attribute in state:
            state[attribute] = state[attribute].__getstate__()
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        values, (predictor, attribute) = dict(state), self.predictor
        if attribute in values:
            fitted = predictor.__new__(predictor)
            fitted.__setstate__(values[attribute])
            values[attribute] = fitted
        super().__setstate__(values)


def nested(options: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Options as nested tables: dotted names become tables; the last value of an option wins.

    >>> nested({"encoder": {"layers": 2}, "encoder.width": 50, "head.costs.toloc.city": 3.0})
    {'encoder': {'layers': 2, 'width': 50}, 'head': {'costs': {'toloc.city': 3.0}}}
    """
    tables: dict[str, Any] = {}
    for name, value in options.items():
        value = value.item() if isinstance(value, np.generic) else value  # grids hold NumPy's numbers
        first, dot, rest = name.partition(".")
        below = {rest: value} if dot else value
        if isinstance(below, Mapping):
            path = f"{above}{first}"
            below = dict(below) if path in _TABLES_OF_USER_NAMES else nested(below, f"{path}.")
        tables = merge(tables, {first: below})
    return tables
