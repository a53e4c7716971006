"""SequenceClassifier keeps scikit-learn's manners, and says in a sentence what is wrong with X and y."""

from __future__ import annotations

import pickle
import pickletools
import re
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.calibration import calibration_curve
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import structseq
from structseq.config import Options
from structseq.data.example import Example
from structseq.errors import ConfigError, DataError
from structseq.estimator import SequenceClassifier, SequenceTagger

NOUNS = ["film", "plot", "cast", "score"]
X = [f"a {word} {noun}" for word in ("fine", "dull") for noun in NOUNS] * 3
Y = ["pos" if "fine" in text else "neg" for text in X]
TINY: dict[str, Any] = {
    "width": 6, "word_width": 8, "character_width": 0, "epochs": 8, "learning_rate": 0.05, "batch_sentences": 4,
    "input_dropout": 0.0, "dropout": 0.0,
    "options": {
        "inputs.affixes": {"shape": 0, "width": 0}, "encoder.recurrent_dropout": 0.0, "training.threads": 1,
    },
}  # fmt: skip


def tiny(**parameters: Any) -> SequenceClassifier:
    return SequenceClassifier(**{**TINY, **parameters})


@pytest.fixture(scope="module")
def fitted() -> SequenceClassifier:
    return tiny().fit(X, Y)


def test_it_is_public() -> None:
    assert structseq.SequenceClassifier is SequenceClassifier


def test_it_learns(fitted: SequenceClassifier) -> None:
    assert fitted.score(X, Y) == 1.0
    assert fitted.classes_.tolist() == ["neg", "pos"]
    assert fitted.predict(["a fine cast", "a dull cast"]).tolist() == ["pos", "neg"]
    assert fitted.predict([]).shape == (0,)
    assert fitted.n_iter_ == len(fitted.history_) == 8
    assert fitted.classifier_.classify_text("a fine plot").label == "pos"
    assert fitted.classifier_.provenance["seed"] == 0


def test_texts_tokens_examples_and_mappings_are_alike(fitted: SequenceClassifier) -> None:
    tokens = [text.split() for text in X]
    given = [tokens, [Example.of(row) for row in tokens], [{"tokens": row} for row in tokens], np.array(X)]
    for sentences in given:
        assert fitted.predict(sentences).tolist() == fitted.predict(X).tolist()
        again = tiny(epochs=2).fit(sentences, Y)
        assert np.array_equal(again.predict_proba(X), tiny(epochs=2).fit(X, Y).predict_proba(X))


def test_probabilities(fitted: SequenceClassifier) -> None:
    found = fitted.predict_proba(X)
    assert found.shape == (len(X), 2)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    assert (fitted.classes_[found.argmax(1)] == fitted.predict(X)).all()
    said = fitted.classifier_.classify_text(X[0])
    assert found[0].tolist() == pytest.approx([said.probabilities["neg"], said.probabilities["pos"]])
    assert fitted.predict_proba([]).shape == (0, 2)
    raw = tiny(epochs=1, validation_fraction=0).fit(X, Y)  # without a dev set nothing is calibrated
    assert raw.predict_proba(X).shape == (len(X), 2)


@pytest.mark.parametrize(
    "labels", [[3, -20], [True, False], [2.5, 10.0], ["10", "9"]], ids=["whole", "bool", "float", "order"]
)
def test_labels_keep_their_type_and_order(labels: list[Any]) -> None:
    y = [labels[0] if "fine" in text else labels[1] for text in X]
    classifier = tiny().fit(X, y)
    assert classifier.classes_.tolist() == sorted(labels)
    found = classifier.predict(X)
    assert found.dtype == classifier.classes_.dtype and found.tolist() == y
    assert (classifier.classes_[classifier.predict_proba(X).argmax(1)] == found).all()


def test_zeros_are_one_label_with_any_sign() -> None:
    y = [0.0 if n % 2 else -0.0 for n in range(len(X) // 2)] + [1.0] * (len(X) - len(X) // 2)
    classifier = tiny(epochs=2).fit(X, y)
    assert classifier.classes_.tolist() == [0.0, 1.0] and len(classifier.classifier_.labels) == 2
    assert set(classifier.predict(X).tolist()) <= {0.0, 1.0}


def test_answers_of_a_dev_set_need_the_dev_set() -> None:
    with pytest.raises(DataError, match="expected X_dev with y_dev"):
        tiny(epochs=1).fit(X, Y, y_dev=Y)


@pytest.mark.parametrize("kinds", [(float, int), (bool, int), (int, float), (int, bool)])
def test_labels_of_a_dev_set_are_the_same_by_value(kinds: tuple[type, type]) -> None:
    numbers = [int(label == "pos") for label in Y]
    y, y_dev = (list(map(kind, numbers)) for kind in kinds)
    classifier = tiny(epochs=2).fit(X, y, X_dev=X, y_dev=y_dev)
    same = tiny(epochs=2).fit(X, y, X_dev=X, y_dev=y)
    assert np.array_equal(classifier.predict_proba(X), same.predict_proba(X))
    assert classifier.classes_.dtype == same.classes_.dtype and len(classifier.classifier_.labels) == 2
    with pytest.raises(DataError, match="y_dev: expected labels as in y"):
        tiny(epochs=1).fit(X, y, X_dev=X, y_dev=Y)


def test_a_label_of_the_held_out_part_alone_is_a_class() -> None:
    classifier = tiny(epochs=2).fit(X, Y, X_dev=["a fine plot", "so so"], y_dev=["pos", "neutral"])
    assert classifier.classes_.tolist() == ["neg", "pos"]
    y = ["odd", *Y[1:]]
    seeds = (tiny(epochs=1, random_state=seed, validation_fraction=0.5).fit(X, y) for seed in range(6))
    without = [c for c in seeds if "odd" not in c.classifier_.labels]
    assert without, "one of six halves should lack the odd label"
    assert without[0].classes_.tolist() == ["neg", "odd", "pos"]
    assert without[0].predict_proba(X)[:, 1].tolist() == [0.0] * len(X)


def test_columns_and_pooling() -> None:
    sentences = [{"tokens": text.split(), "said": [text.split()[1]] * 3} for text in X]
    for pooling in ("max", "mean", "last", "attention"):
        classifier = tiny(columns=["said"], word_width=0, character_width=2, pooling=pooling).fit(sentences, Y)
        assert classifier.classifier_.model.head.pooling.kind == pooling
        assert classifier.predict(sentences).shape == (len(X),)
    with pytest.raises(DataError, match="'said'"):
        classifier.predict([["a", "fine", "plot"]])


# -- manners ----------------------------------------------------------------------------------------------------------


def test_every_keyword_is_an_option_and_none_is_the_default() -> None:
    tagger = SequenceTagger().get_params().keys()
    assert SequenceClassifier().get_params().keys() == (tagger - {"head", "scheme", "repair"}) | {"pooling"}
    assert SequenceClassifier().resolved_options() == Options.of({"head": {"type": "classify"}})
    assert SequenceClassifier(options={"head": {"type": "classify"}}).resolved_options().head.type == "classify"
    with pytest.raises(ConfigError, match=r"head\.type is 'classify' for a SequenceClassifier, found 'crf'"):
        SequenceClassifier(options={"head.type": "crf"}).resolved_options()


def test_it_is_a_classifier_for_scikit_learn(fitted: SequenceClassifier) -> None:
    assert is_classifier(fitted)
    scores = cross_val_score(tiny(), X, Y, cv=StratifiedKFold(3))
    assert scores.tolist() == [1.0] * 3
    assert set(cross_val_predict(tiny(), X, Y, cv=2)) == {"neg", "pos"}
    assert cross_val_predict(tiny(), X, [text == "pos" for text in Y], cv=StratifiedKFold(2)).dtype == bool
    ragged = [text.split()[: 3 - n % 2] for n, text in enumerate(X)]
    assert cross_val_predict(tiny(epochs=1), ragged, Y, cv=3).shape == (len(X),)
    shares = cross_val_predict(tiny(), X, Y, cv=2, method="predict_proba")
    assert shares.shape == (len(X), 2)
    search = GridSearchCV(tiny(epochs=1), {"pooling": ["max", "mean"]}, cv=2).fit(X, Y)
    assert search.best_params_["pooling"] in ("max", "mean")
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    piped = make_pipeline(lower, tiny()).fit([text.upper() for text in X], Y)
    assert piped.score(X, Y) == 1.0
    share, _ = calibration_curve(np.array(Y) == "pos", fitted.predict_proba(X)[:, 1])
    assert len(share)
    rival = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(X, Y)  # the same call, the same answers
    assert rival.predict(X).tolist() == fitted.predict(X).tolist()


def test_clones_and_pickles(fitted: SequenceClassifier) -> None:
    twin = clone(fitted)
    assert twin.get_params() == fitted.get_params() and not hasattr(twin, "classifier_")
    pickled = pickle.dumps(fitted)
    called = {arg for code, arg, _ in pickletools.genops(pickled) if code.name in ("GLOBAL", "SHORT_BINUNICODE")}
    assert not any("torch" in str(name) for name in called)
    again = pickle.loads(pickled)
    assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))
    with pytest.raises(NotFittedError):
        twin.predict(X)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ("a text", ["pos"], "expected a list of texts"),
        (X, None, "expected y"),
        (X, "pos", "expected a list of labels"),
        (X, Y[:-1], f"expected as many labels in y as texts in X, {len(X)}, found {len(X) - 1}"),
        (X, ["pos"] * len(X), "expected two labels or more, found 'pos'"),
        (X, [["pos"]] * len(X), "one label for each text, found list ['pos'] at position 0"),
        (X, [*Y[:-1], ["pos", "neg"]], "one label for each text, found list ['pos', 'neg'] at position 23"),
        (X, [["pos"], ["pos", "neg"]] * 12, "one label for each text, found list ['pos'] at position 0"),
        (X, [("pos", 1), ("neg",)] * 12, "one label for each text, found tuple ('pos', 1) at position 0"),
        (X, [np.zeros(2), np.zeros(3)] * 12, "one label for each text, found ndarray"),
        (X, np.zeros((len(X), 2)), "one label for each text, found ndarray"),
        ("a fine film", ["pos"], "X: expected a list of texts or sentences, found a text; give a list, such as [text]"),
        (X, [1, *Y[1:]], "all strings, or all numbers"),
        (X, [None, *Y[1:]], "all strings, or all numbers"),
        (X, [float("nan"), *([0.0, 1.0] * len(X))[: len(X) - 1]], "found NaN at position 0"),
        ([], [], "X: expected texts or sentences, found none"),
        ([3, *X[1:]], Y, "X, sentence 1: expected a list of tokens, found int 3"),
        ([["a", 3], *X[1:]], Y, "X, sentence 1: expected tokens that are strings"),
    ],
)
def test_wrong_samples(x: Any, y: Any, said: str) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        tiny(epochs=1).fit(x, y)
