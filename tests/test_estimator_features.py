"""Estimators learn from dicts of features for each token, and give probabilities in the order of their classes."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict

from structseq.data.example import Example
from structseq.errors import ConfigError, DataError
from structseq.estimator import SequenceClassifier, SequenceTagger

CITIES = ["Taipei", "Tainan", "Boston", "Oslo"]
SENTENCES = [[verb, city] for verb in ("leave", "reach") for city in CITIES] * 2
Y = [["O", "B-from" if verb == "leave" else "B-to"] for verb, _ in SENTENCES]
TINY: dict[str, Any] = {
    "width": 6, "word_width": 8, "character_width": 0, "epochs": 4, "learning_rate": 0.05, "batch_sentences": 4,
    "input_dropout": 0.0, "dropout": 0.0,
    "options": {
        "inputs.affixes": {"shape": 0, "width": 0}, "encoder.recurrent_dropout": 0.0,
        "training": {"threads": 1, "average": "none", "tune_decision": False},
    },
}  # fmt: skip


def tiny(**parameters: Any) -> SequenceTagger:
    return SequenceTagger(**{**TINY, **parameters})


def features(tokens: list[str]) -> list[dict[str, Any]]:
    """As the tutorial of sklearn-crfsuite has them: the neighbour's at the ends are missing."""
    found = []
    for place, token in enumerate(tokens):
        each: dict[str, Any] = {"word": token, "word.isupper()": token.isupper(), "length": len(token), "bias": 1.0}
        each |= {"-1:word.lower()": tokens[place - 1].lower()} if place else {"BOS": True}
        each |= {} if place < len(tokens) - 1 else {"EOS": True}
        found.append(each)
    return found


X = [features(tokens) for tokens in SENTENCES]
NAMES = ("word.isupper()", "length", "bias", "BOS", "-1:word.lower()", "EOS")


@pytest.fixture(scope="module")
def fitted() -> SequenceTagger:
    return tiny(validation_fraction=0, epochs=12).fit(X, Y)


def test_all_features_are_columns_if_none_is_named(fitted: SequenceTagger) -> None:
    assert fitted.tagger_.columns == NAMES and fitted.columns == ()
    known = {name: set(words) for name, words in fitted.tagger_.model.inputs.column_vocabularies.items()}
    assert {"", "leave", "reach"} <= known["-1:word.lower()"] and {"", "True"} <= known["BOS"]
    assert {"5", "6"} <= known["length"] and "1.0" in known["bias"] and "False" in known["word.isupper()"]
    assert fitted.score(X, Y) == 1.0
    assert fitted.predict([features(["leave", "Rome"]), []]) == [["O", "B-from"], []]
    assert len(fitted.predict([features(["leave"])])[0]) == 1


def test_dicts_are_the_same_as_columns(fitted: SequenceTagger) -> None:
    columns = [
        {"tokens": [each["word"] for each in sentence]}
        | {name: [str(each.get(name, "")) for each in sentence] for name in NAMES}
        for sentence in X
    ]
    same = tiny(validation_fraction=0, epochs=12, columns=NAMES).fit(columns, Y)
    for one, other in zip(fitted.predict_proba(X), same.predict_proba(columns), strict=True):
        assert np.array_equal(one, other)


def test_named_columns_choose_features() -> None:
    tagger = tiny(validation_fraction=0, columns=["-1:word.lower()"]).fit(iter(X), iter(Y), X_dev=X, y_dev=Y)
    assert tagger.tagger_.columns == ("-1:word.lower()",)
    with pytest.raises(DataError, match=r"X, sentence 1: expected features such as '-1:word.lower\(\)'.*found 'Lower'"):
        tagger.predict([[{"word": "to", "Lower": "x"}]])


@pytest.mark.parametrize("key", ["token", "word", "text"])
def test_the_token_has_a_usual_key(key: str) -> None:
    tagger = tiny(validation_fraction=0, epochs=1)
    assert tagger.fit([[{key: token, "tag": "x"} for token in tokens] for tokens in SENTENCES], Y).tagger_.columns == (
        "tag",
    )


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ([{"word.lower()": "a"}], "sentence 1: expected the token itself .* 'word', 'text', found 'word.lower"),
        ([{}], "expected the token itself .* found none"),
        ([{"word": "a"}, {"token": "b"}], "expected the token itself"),
        ([{"word": "a"}, "b"], "expected tokens that are strings, found dict"),
        ([{"word": 1, "x": "y"}], "expected tokens that are strings, found int 1"),
        ([{"word": "a", "x": ["y"]}], "expected the feature 'x' to be a string, a number or a bool, found list"),
        ([{"word": "a", "x": None}], "expected the feature 'x'.*found NoneType"),
        ([{"word": "a", 3: "x"}], "expected names of features that are strings, found int 3"),
    ],
)  # fmt: skip
def test_wrong_features(sentence: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        tiny().fit([sentence], [["O"] * len(sentence)])


def test_arrays_of_dicts_are_sentences(fitted: SequenceTagger) -> None:
    assert fitted.predict(np.array(X, object)) == fitted.predict(X)


def test_numbers_of_numpy_are_numbers() -> None:
    sentences = [[{"word": token, "n": np.int64(len(token))} for token in tokens] for tokens in SENTENCES]
    tagger = tiny(validation_fraction=0, epochs=1).fit(sentences, Y)
    assert "5" in tagger.tagger_.model.inputs.column_vocabularies["n"]


def test_scikit_learn_keeps_working_with_dicts(fitted: SequenceTagger) -> None:
    assert clone(fitted).get_params() == fitted.get_params()
    folds = KFold(2, shuffle=True, random_state=0)
    assert cross_val_predict(tiny(epochs=1), X, Y, cv=folds).shape == (len(X),)
    search = GridSearchCV(tiny(epochs=1), {"head": ["crf", "softmax"]}, cv=folds, error_score="raise").fit(X, Y)
    assert search.best_params_["head"] in ("crf", "softmax")
    copied = pickle.loads(pickle.dumps(fitted))
    assert copied.predict(X) == fitted.predict(X) and copied.tagger_.columns == NAMES


def test_a_classifier_reads_dicts() -> None:
    options = {**TINY["options"], "training": {"threads": 1}}
    classifier = SequenceClassifier(**{**TINY, "options": options, "epochs": 8}).fit(X, [tags[1] for tags in Y])
    assert classifier.classifier_.columns == NAMES
    assert classifier.predict_proba(X).shape == (len(X), 2) and classifier.score(X, [tags[1] for tags in Y]) == 1.0


# -- probabilities ----------------------------------------------------------------------------------------------------


def test_probabilities_are_the_marginals_in_the_order_of_the_classes(fitted: SequenceTagger) -> None:
    sentences = [*X[:2], []]
    found = fitted.predict_proba(sentences)
    assert isinstance(found, list) and [each.shape for each in found] == [(2, 3), (2, 3), (0, 3)]
    assert fitted.classes_.tolist() == ["O", "B-from", "B-to"]
    for rows, marginals in zip(found, fitted.predict_marginals(sentences), strict=True):
        assert rows.dtype == np.float64
        assert rows.tolist() == [[token[tag] for tag in fitted.classes_] for token in marginals]
        np.testing.assert_allclose(rows.sum(1), 1, atol=1e-5)
    best = [fitted.classes_[rows.argmax(1)].tolist() for rows in found]
    assert best == fitted.predict(sentences)


def test_probabilities_of_folds() -> None:
    examples = [Example.of(tokens, tags) for tokens, tags in zip(SENTENCES, Y, strict=True)]
    found = cross_val_predict(tiny(epochs=1), examples, cv=KFold(2), method="predict_proba")
    assert found.shape == (len(examples),) and {each.shape for each in found} == {(2, 3)}


def test_a_head_without_probabilities_says_so() -> None:
    tagger = tiny(head="perceptron", epochs=1, validation_fraction=0).fit(SENTENCES, Y)
    with pytest.raises(ConfigError, match="predict_proba: this head has probabilities only after a temperature"):
        tagger.predict_proba(SENTENCES)


def test_numbers_of_tags_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"y, sentence 1: expected tags that are strings, found int 0.*give the tags' names"
    ):
        tiny().fit(X[:1], [[0, 1]])
