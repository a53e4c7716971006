"""What the estimators have in common: options from keywords, training, and how they are pickled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from structseq.config import Options
from structseq.data.example import Example
from structseq.data.reading import Corpus
from structseq.errors import ConfigError, DataError
from structseq.inference import Predictor
from structseq.run import Parts, prepare_corpus, train_and_save
from structseq.run.identity import versions
from structseq.section import dotted
from structseq.training import Progress

# The option that each keyword of the constructors stands for
KEYWORDS = {
    "head": "head.type",
    "pooling": "head.pooling",
    "scheme": "data.scheme",
    "repair": "data.repair",
    "tokenizer": "data.tokenizer",
    "encoder": "encoder.type",
    "layers": "encoder.layers",
    "width": "encoder.width",
    "word_width": "inputs.words.width",
    "character_width": "inputs.characters.width",
    "vectors": "inputs.words.vectors",
    "input_dropout": "inputs.dropout",
    "dropout": "encoder.dropout",
    "epochs": "training.epochs",
    "patience": "training.patience",
    "batch_sentences": "training.batch_sentences",
    "learning_rate": "training.learning_rate",
    "weight_decay": "training.weight_decay",
    "validation_fraction": "training.validation_fraction",
    "device": "training.device",
}


class SequenceEstimator(BaseEstimator):
    """A model behind the manners of scikit-learn; who derives from it names its keywords and what it is fitted to.

    Attributes
    ----------
    predictor:
        The class of the fitted predictor, and the attribute's name.
    fixed:
        Options that the estimator is made for, over all others.
    """

    predictor: ClassVar[tuple[type[Predictor], str]]
    fixed: ClassVar[Mapping[str, Any]] = {}
    columns: Sequence[str]
    options: Mapping[str, Any] | None
    random_state: Any
    validation_fraction: float | None
    verbose: int

    # -- learning -----------------------------------------------------------------------------------------------------

    def resolved_options(self) -> Options:
        """All options as they will be used: the keywords over ``options`` over the default recipe."""
        named = {KEYWORDS[name]: value for name, value in self.get_params(deep=False).items() if name in KEYWORDS}
        keywords = {name: value for name, value in named.items() if value is not None}
        if keywords.get("training.validation_fraction") == 0:
            del keywords["training.validation_fraction"]
        if isinstance(self.columns, str):
            raise ConfigError(f"columns: expected a list of names, found the text {self.columns!r}")
        columns = {"data": {"columns": {name: place for place, name in enumerate(self.columns, start=1)}}}
        given = dict(dotted(nested(self.options or {})))
        for name, value in self.fixed.items():
            if given.get(name, value) != value:
                raise ConfigError(f"options: {name} is {value!r} for a {type(self).__name__}, found {given[name]!r}")
        layers = (nested(self.options or {}), columns if self.columns else {}, nested(keywords), nested(self.fixed))
        return Options.of(*layers)

    def _fit(self, train: Sequence[Example], dev: Sequence[Example] | None, options: Options) -> None:
        """Train; the fitted predictor becomes the attribute that `predictor` names. Where ``dev`` is None, a share of
        ``train`` is held out."""
        seed, whole = self._seed(), Corpus(tuple(train), tuple(dev or ()))
        hold = dev is None and self.validation_fraction != 0 and sum(map(bool, map(len, train))) > 1
        prepared = prepare_corpus(
            options, whole, seed=seed, names=Parts("X", "X_dev"), hold=hold, repair_option="repair={!r}"
        )
        self.history_: list[dict[str, Any]] = []
        trained = train_and_save(prepared, options, seed=seed, show=lambda: nullcontext(self._watch))
        self.n_iter_ = trained.outcome.epochs
        provenance = {"seed": seed, "sentences": len(prepared.corpus.train), "versions": versions()}
        kind, name = self.predictor
        fitted = kind(
            trained.model.to("cpu"),
            tokenizer=options.data.tokenizer,
            metrics=trained.metrics,
            provenance=provenance,
            entities=trained.entities,
        )
        setattr(self, name, fitted)

    @staticmethod
    def _refuse_half_a_dev_set(X_dev: Any, y_dev: Any) -> None:
        """`DataError` for answers without what they are the answers to."""
        if X_dev is None and y_dev is not None:
            raise DataError("expected X_dev with y_dev, found y_dev alone; give both, or neither")

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)) and not isinstance(self.random_state, bool):
            if self.random_state < 0:
                raise ConfigError(f"random_state: expected a seed that is not negative, found {self.random_state}")
            return int(self.random_state)
        try:
            return int(check_random_state(self.random_state).randint(2**31 - 1))
        except ValueError:
            found = repr(self.random_state)
            raise ConfigError(f"random_state: expected a whole number, a RandomState or None, found {found}") from None

    def _watch(self, progress: Progress, _: Any) -> None:
        if not progress.ends_epoch:
            return
        record = {
            "epoch": progress.epoch,
            "loss": progress.loss,
            "dev_score": progress.dev_score,
            "learning_rate": progress.learning_rate,
        }
        self.history_.append(record)
        if self.verbose:
            dev = "" if progress.dev_score is None else f"  dev {progress.dev_score:.4f}"
            print(f"epoch {progress.epoch}  loss {progress.loss:.4f}{dev}")

    # -- manners ------------------------------------------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, self.predictor[1])

    def __sklearn_tags__(self) -> Any:
        """Samples are sentences, not rows of a matrix, and are checked here."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Parameters, plain attributes, and the files of the fitted model's folder: no pickled tensors."""
        state, name = dict(super().__getstate__()), self.predictor[1]
        if name in state:
            state[name] = state[name].__getstate__()
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        values, (kind, name) = dict(state), self.predictor
        if name in values:
            held = kind.__new__(kind)
            held.__setstate__(values[name])
            values[name] = held
        super().__setstate__(values)


# Options that are tables of the user's own names, in which a dot is a letter
_OWN_NAMES = ("data.columns", "head.costs")


def nested(options: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Options as nested tables; dotted names become tables, and of two values for one option the later holds.

    >>> nested({"encoder": {"layers": 2}, "encoder.width": 50})
    {'encoder': {'layers': 2, 'width': 50}}
    >>> nested({"head.costs": {"fromloc.city": 2.0}, "head.costs.toloc.city": 3.0})
    {'head': {'costs': {'fromloc.city': 2.0, 'toloc.city': 3.0}}}
    """
    tables: dict[str, Any] = {}
    for name, value in options.items():
        value = value.item() if isinstance(value, np.generic) else value  # grids hold NumPy's numbers
        first, dot, rest = name.partition(".")
        below = {rest: value} if dot else value
        if isinstance(below, Mapping):
            path = f"{above}{first}"
            below = dict(below) if path in _OWN_NAMES else nested(below, f"{path}.")
        known = tables.get(first)
        tables[first] = _joined(known, below) if isinstance(known, dict) and isinstance(below, dict) else below
    return tables


def _joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    both = {**first, **second}
    for name in first.keys() & second.keys():
        if isinstance(first[name], dict) and isinstance(second[name], dict):
            both[name] = _joined(first[name], second[name])
    return both
