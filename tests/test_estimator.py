"""SequenceTagger keeps scikit-learn's manners, and says in a sentence what is wrong with X and y."""

from __future__ import annotations

import copy
import pickle
import pickletools
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

import structseq
from structseq.config import Options, option_list
from structseq.data.example import Example
from structseq.errors import ConfigError, DataError
from structseq.estimator import SequenceTagger
from structseq.evaluation import entity_f1
from structseq.spans import scheme_of

CITIES = ["Taipei", "Tainan", "Kaohsiung", "Boston"]
X = [[verb, city] for verb in ("leave", "reach") for city in CITIES] * 2
Y = [["O", "B-from" if verb == "leave" else "B-to"] for verb, _ in X]
TINY: dict[str, Any] = {
    "width": 6, "word_width": 8, "character_width": 4, "epochs": 6, "learning_rate": 0.05, "batch_sentences": 4,
    "input_dropout": 0.0, "dropout": 0.0,
    "options": {
        "inputs.affixes": {"shape": 0, "width": 0},
        "inputs.words.unknown_rate": 0.25,
        "encoder.recurrent_dropout": 0.0,
        "training": {"threads": 1, "average": "none", "tune_decision": False},
    },
}  # fmt: skip


def tiny(**parameters: Any) -> SequenceTagger:
    return SequenceTagger(**{**TINY, **parameters})


@pytest.fixture(scope="module")
def fitted() -> SequenceTagger:
    return tiny(validation_fraction=0).fit(X, Y)


# -- learning and answering -------------------------------------------------------------------------------------------


def test_it_learns(fitted: SequenceTagger) -> None:
    assert fitted.predict([["leave", "Tainan"], [], ["reach", "Tainan"]]) == [["O", "B-from"], [], ["O", "B-to"]]
    assert fitted.score(X, Y) == 1.0
    assert fitted.classes_.tolist() == ["O", "B-from", "B-to"]
    assert fitted.n_iter_ == 6 == len(fitted.history_)
    assert fitted.tagger_.tag_text("leave Boston").spans[0].label == "from"
    assert fitted.tagger_.entities == {(city, label) for city in CITIES for label in ("from", "to")}
    assert fitted.tagger_.provenance["seed"] == 0


def test_it_is_public() -> None:
    assert structseq.SequenceTagger is SequenceTagger


def test_marginals_are_what_the_tagger_says(fitted: SequenceTagger) -> None:
    marginals = fitted.predict_marginals([["leave", "Boston"], [], ["reach"]])
    assert list(map(len, marginals)) == [2, 0, 1]
    for token in marginals[0]:
        assert tuple(token) == tuple(fitted.classes_) and sum(token.values()) == pytest.approx(1, abs=1e-5)
    tagging = fitted.tagger_.tag(["leave", "Boston"])
    # B-from is always one token long here, so that the span's probability is the tag's.
    assert tagging.spans[0].confidence == pytest.approx(marginals[0][1]["B-from"], abs=1e-5)


def test_the_score_is_entity_f1(fitted: SequenceTagger) -> None:
    wrong = [list(tags) for tags in Y]
    wrong[0][1] = "B-to"
    wrong[1][1] = "B-never"
    assert fitted.score(X, wrong) == entity_f1(wrong, fitted.predict(X), scheme_of("BIO")) < 1


def test_plain_tags_are_scored_by_accuracy() -> None:
    y = [["VB", "NNP"]] * len(X)
    tagger = tiny(validation_fraction=0, epochs=2).fit(X, y)
    assert tagger.tagger_.scheme.plain
    assert tagger.score(X[:2], [["VB", "NNP"], ["VB", "X"]]) == 0.75


def test_a_perceptron_has_no_marginals_without_held_out_data() -> None:
    tagger = tiny(head="perceptron", epochs=1, validation_fraction=0).fit(X, Y)
    with pytest.raises(ConfigError, match="temperature"):
        tagger.predict_marginals(X)


def weights(tagger: SequenceTagger) -> list[torch.Tensor]:
    return [p.detach() for p in tagger.tagger_.model.parameters()]


def same(one: SequenceTagger, other: SequenceTagger) -> bool:
    return all(map(torch.equal, weights(one), weights(other)))


def test_one_seed_decides_everything() -> None:
    torch.manual_seed(1)
    first = tiny(epochs=1).fit(X, Y)
    torch.manual_seed(2)
    np.random.seed(3)
    again, other = tiny(epochs=1).fit(X, Y), tiny(epochs=1, random_state=1).fit(X, Y)
    assert same(first, again) and not same(first, other)
    drawn = [tiny(epochs=1, random_state=np.random.RandomState(7)).fit(X, Y) for _ in range(2)]
    assert same(*drawn) and not same(drawn[0], first)
    np.random.seed(5)
    one = tiny(epochs=1, random_state=None).fit(X, Y)
    two = tiny(epochs=1, random_state=None).fit(X, Y)
    assert not same(one, two)


def test_a_dev_set_chooses_the_epoch() -> None:
    with pytest.warns(UserWarning, match="X_dev: every tag is 'O'"):
        tagger = tiny(epochs=3, patience=1).fit(X, Y, X_dev=X[:2], y_dev=[["O", "O"]] * 2)
    assert [record["dev_score"] for record in tagger.history_] == [0.0, 0.0, 0.0]
    assert tagger.n_iter_ == 3


def test_a_share_is_held_out() -> None:
    held = tiny(epochs=1, validation_fraction=0.5).fit(X, Y)
    assert held.history_[0]["dev_score"] is not None
    assert held.tagger_.provenance["sentences"] == len(X) // 2
    assert tiny(epochs=1, validation_fraction=0).fit(X, Y).history_[0]["dev_score"] is None
    assert tiny(epochs=1).fit(X[:1], Y[:1]).history_[0]["dev_score"] is None


def test_samples_of_other_kinds(fitted: SequenceTagger) -> None:
    examples = [Example.of(tokens, tags) for tokens, tags in zip(X, Y, strict=True)]
    assert same(tiny(validation_fraction=0).fit(examples), fitted)
    assert same(tiny(validation_fraction=0).fit(np.array(X), np.array(Y)), fitted)
    assert same(tiny(validation_fraction=0).fit(tuple(map(tuple, X)), iter(Y)), fitted)
    assert fitted.score(examples) == 1.0
    tokens = {token for word in fitted.tagger_.model.vocabularies["words"] for token in [type(word)]}
    assert tokens == {str}


def test_further_columns() -> None:
    sentences = [{"tokens": tokens, "verb": [tokens[0]] * 2} for tokens in X]
    tagger = tiny(columns=["verb"], validation_fraction=0, word_width=0, character_width=2).fit(sentences, Y)
    assert tagger.score(sentences, Y) == 1.0
    with pytest.raises(DataError, match="'verb'"):
        tagger.predict(X)
    with pytest.raises(DataError, match="X, sentence 1: expected the column 'verb'"):
        clone(tagger).fit(X, Y)


def test_verbose_prints_a_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    tiny(epochs=2, verbose=1).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1", "epoch 2"]


# -- options ----------------------------------------------------------------------------------------------------------


def test_every_keyword_is_an_option_and_none_is_the_default() -> None:
    keywords = {each.name: each.metadata["option"] for each in fields(SequenceTagger) if each.metadata}
    assert keywords.keys() == {
        "head", "scheme", "repair", "tokenizer", "encoder", "layers", "width", "dropout", "word_width",
        "character_width", "vectors", "input_dropout", "epochs", "patience", "batch_sentences", "learning_rate",
        "weight_decay", "validation_fraction", "device",
    }  # fmt: skip
    assert set(keywords.values()) <= set(option_list()) and len(set(keywords.values())) == len(keywords)
    assert SequenceTagger().resolved_options() == Options()
    others = {"columns", "options", "random_state", "verbose"}
    assert SequenceTagger().get_params().keys() == keywords.keys() | others
    assert all(value is None for name, value in SequenceTagger().get_params().items() if name in keywords)


def test_keywords_go_before_options() -> None:
    options = {"encoder": {"layers": 3, "dropout": 0.2}, "training.clip": 5.0, "encoder.width": 7}
    found = SequenceTagger(layers=2, options=options).resolved_options()
    assert (found.encoder.layers, found.encoder.dropout, found.encoder.width) == (2, 0.2, 7)
    assert found.training.clip == 5.0
    assert SequenceTagger(layers=np.int64(2), dropout=np.float32(0.5)).resolved_options().encoder.layers == 2
    assert SequenceTagger(columns=("pos", "cap")).resolved_options().data.columns == {"pos": 1, "cap": 2}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"options": {"encoder": {"widht": 3}}}, 'did you mean "encoder.width"'),
        ({"options": {"encoder.widht": 3}}, 'did you mean "encoder.width"'),
        ({"head": "cfr"}, "crf"),
        ({"width": -1}, "encoder.width"),
        ({"scheme": "BOI"}, "did you mean"),
        ({"tokenizer": "word-1"}, "words-1"),
        ({"validation_fraction": 1.5}, "training.validation_fraction"),
        ({"random_state": "x"}, "random_state"),
        ({"random_state": -1}, "random_state"),
        ({"columns": "pos"}, "columns: expected a list of names"),
    ],
)
def test_wrong_parameters_are_said_when_fitting(parameters: dict[str, Any], said: str) -> None:
    tagger = tiny(**parameters)
    with pytest.raises(ConfigError) as caught:
        tagger.fit(X, Y)
    assert said in str(caught.value)
    assert not hasattr(tagger, "tagger_")


# -- scikit-learn -----------------------------------------------------------------------------------------------------


def test_the_constructor_stores_its_values_untouched() -> None:
    values = {name: object() for name in SequenceTagger().get_params()}
    tagger = SequenceTagger(**values)
    assert tagger.get_params() == values
    assert vars(tagger) == values


def test_clone_and_set_params(fitted: SequenceTagger) -> None:
    copied = clone(fitted)
    assert copied.get_params() == fitted.get_params() and not hasattr(copied, "tagger_")
    assert copied.set_params(epochs=1, head="softmax").epochs == 1
    with pytest.raises(ValueError, match="epoch_count"):
        copied.set_params(epoch_count=1)
    assert repr(copied).startswith("SequenceTagger(")


def test_answers_before_fitting_are_refused() -> None:
    for call in (lambda t: t.predict(X), lambda t: t.predict_marginals(X), lambda t: t.score(X, Y)):
        with pytest.raises(NotFittedError):
            call(tiny())


def test_cross_validation() -> None:
    scores = cross_val_score(tiny(), X, Y, cv=2, error_score="raise")
    assert scores.shape == (2,) and (scores >= 0).all() and (scores <= 1).all()
    folds = KFold(2, shuffle=True, random_state=0)
    assert (
        len(cross_val_score(tiny(), X, Y, cv=folds, params={"X_dev": X[:2], "y_dev": Y[:2]}, error_score="raise")) == 2
    )
    assert not is_classifier(tiny())


def test_grid_search() -> None:
    search = GridSearchCV(tiny(), {"epochs": np.array([1, 6]), "head": ["crf", "softmax"]}, cv=2, error_score="raise")
    search.fit(X, Y)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_params_["epochs"] == 6
    assert search.predict([["leave", "Taipei"]]) == [["O", "B-from"]]


def test_pipeline() -> None:
    lower = FunctionTransformer(lambda sentences: [[token.lower() for token in tokens] for tokens in sentences])
    pipeline = Pipeline([("lower", lower), ("tagger", tiny(validation_fraction=0))])
    pipeline.set_params(tagger__epochs=7).fit(X, Y)
    assert pipeline.predict([["LEAVE", "TAIPEI"]]) == [["O", "B-from"]]
    assert pipeline.score(X, Y) == 1.0
    assert pipeline[-1].n_iter_ == 7


def test_a_pickle_holds_the_files_of_the_model_folder(fitted: SequenceTagger) -> None:
    state = fitted.__getstate__()
    assert isinstance(state["tagger_"]["files"]["model.safetensors"], bytes)
    pickled = pickle.dumps(fitted)
    names = {argument for _, argument, _ in pickletools.genops(pickled) if isinstance(argument, str)}
    assert not [name for name in names if name.split(".")[0] in ("torch", "torchcrf")]
    for copied in (pickle.loads(pickled), copy.deepcopy(fitted)):
        assert copied.predict(X) == fitted.predict(X)
        assert copied.get_params() == fitted.get_params() and copied.n_iter_ == fitted.n_iter_
    assert not hasattr(pickle.loads(pickle.dumps(tiny())), "tagger_")


# -- wrong input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (None, Y, "X: expected a list of sentences, each a list of tokens, found NoneType"),
        (X, None, "expected y, a tag list for each sentence of X, found none"),
        (X, Y[:-1], "expected as many tag lists in y as sentences in X, 16, found 15"),
        (["leave Taipei"] * 2, Y[:2], "X, sentence 1: expected a list of tokens, found a text"),
        ("leave Taipei", Y[:1], "X: expected a list of sentences, each a list of tokens, found a text"),
        (5, Y, "X: expected a list of sentences, each a list of tokens, found int"),
        (X[:2], "OO", "y: expected a list of tag lists, one for each sentence, found str"),
        (X[:2], ["O", "O"], "y, sentence 1: expected a list of tags, found str 'O'"),
        (X[:2], [["O", "O"], ["O"]], "y, sentence 2: expected 2 tags, one for each token, found 1"),
        (X[:1], [["O", None]], "y, sentence 1: expected"),
        ([["leave", 2]], [["O", "O"]], "X, sentence 1: expected tokens that are strings, found int 2 at position 1"),
        ([], [], "expected at least one tag, label or symbol"),
        ([[], []], [[], []], "expected at least one tag, label or symbol"),
        (X[:2], [["O", "I-to"], ["O", "B-to"]], "y, sentence 1, token 2: I-to opens an entity after O"),
        (X[:2], [["U-to", "I-to"], ["O", "S-to"]], "mix schemes"),
        ([Example.of(["a"])], None, "no tags"),
    ],
)  # fmt: skip
def test_wrong_samples(x: Any, y: Any, said: str) -> None:
    with pytest.raises(DataError) as caught:
        tiny(scheme="BIO" if "opens" in said else None, repair="refuse").fit(x, y)
    assert said in str(caught.value)


def test_wrong_dev_samples() -> None:
    with pytest.raises(DataError, match="expected y_dev"):
        tiny().fit(X, Y, X_dev=X)
    with pytest.raises(DataError, match=r"y_dev, sentence 1.*expected tags in BIO"):
        tiny(scheme="BIO").fit(X, Y, X_dev=X[:1], y_dev=[["O", "NN"]])


def test_answers_of_a_dev_set_need_the_dev_set() -> None:
    with pytest.raises(DataError, match="expected X_dev with y_dev"):
        tiny(epochs=1).fit(X, Y, y_dev=Y)


def test_illegal_tags_are_repaired_if_set() -> None:
    wrong = [["O", "I-from" if tags[1] == "B-from" else "I-to"] for tags in Y]
    with pytest.warns(UserWarning, match="illegal tags: 16, read as conlleval reads them"):
        tagger = tiny(scheme="BIO", repair="conlleval", validation_fraction=0).fit(X, wrong)
    assert tagger.predict(X) == Y


def test_prediction_of_wrong_samples(fitted: SequenceTagger) -> None:
    with pytest.raises(DataError, match="sentence 1: expected a list of tokens, found a text"):
        fitted.predict(["leave Taipei"])
    with pytest.raises(DataError, match="found none"):
        fitted.score(X)


@pytest.mark.parametrize("lengths", [(2, 3), (2, 2), (1, 0, 4), (1, 1)])
def test_predictions_of_folds_are_one_list_a_sentence(lengths: tuple[int, ...]) -> None:
    x = [["go", "to", "Oslo", "now"][: lengths[n % len(lengths)]] for n in range(12)]
    y = [["B-act", "O", "B-to", "O"][: len(tokens)] for tokens in x]
    found = cross_val_predict(tiny(epochs=1), x, y, cv=KFold(2, shuffle=True, random_state=1))
    assert found.shape == (12,) and [len(tags) for tags in found] == [len(tokens) for tokens in x]
    assert all(isinstance(tags, list) for tags in found)


def test_predictions_are_a_list_and_become_an_array_of_lists(fitted: SequenceTagger) -> None:
    found = fitted.predict([["leave", "Tainan"], ["reach", "Tainan"]])
    assert isinstance(found, list) and found == [["O", "B-from"], ["O", "B-to"]]
    array = np.array(found)
    assert array.shape == (2,) and array[1] == ["O", "B-to"] and np.asarray(found, dtype=object).shape == (2,)
    assert np.asarray(fitted.predict([])).shape == (0,)
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize("one", [0, np.int64(3), 1.5, True, None, b"O"])
def test_tags_that_are_no_strings_are_refused_as_tags(fitted: SequenceTagger, one: Any) -> None:
    y = [["O", one]] * len(X)
    for call in (lambda: tiny().fit(X, y), lambda: fitted.score(X, y), lambda: tiny().fit(X, Y, X_dev=X, y_dev=y)):
        with pytest.raises(DataError, match=r"expected tags that are strings, found .* at position 1; "):
            call()
    if isinstance(one, int):  # the advice
        names = {"O": "O", one: "B-to"}
        tiny(epochs=1).fit(X, [[names[tag] for tag in tags] for tags in y])


@pytest.mark.parametrize("given", ["a text", ["a text"], np.array(["a text", "b text"]), ("a text",)])
def test_a_text_is_answered_with_what_an_estimator_can_do(fitted: SequenceTagger, given: Any) -> None:
    calls = (lambda: tiny().fit(given, [["O", "O"]]), lambda: fitted.predict(given), lambda: fitted.score(given, Y))
    for call in (*calls, lambda: fitted.predict_marginals(given), lambda: tiny().fit(X, Y, X_dev=given, y_dev=[["O"]])):
        with pytest.raises(
            DataError, match=r"found a text; split it into tokens, such as \[?text\.split\(\)"
        ) as problem:
            call()
        assert "_text" not in str(problem.value), "an estimator has no such method"
