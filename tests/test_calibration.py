"""Confidences beside how often they are right: bins and errors by hand and by scikit-learn, in reports and cards."""

from __future__ import annotations

import json
from typing import Any

import miniature
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from structseq.data.reading import Corpus
from structseq.evaluation import Calibration, evaluate, evaluate_jointly
from structseq.evaluation.calibration import BINS, Bin, calibration_of
from structseq.inference import Tagger
from structseq.spans import PLAIN, scheme_of
from structseq.storage.model_card import model_card
from structseq.training import train

BIO = scheme_of("BIO")
CONFIDENCES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def test_by_hand() -> None:
    found = calibration_of([0.95, 0.91, 0.55, 0.1, 0.0], [True, False, True, False, False])
    assert found.bins == (
        Bin(0.0, 0.1, 2, 0.05, 0.0),
        Bin(0.5, 0.6, 1, 0.55, 1.0),
        Bin(0.9, 1.0, 2, pytest.approx(0.93), 0.5),
    )
    assert (found.count, found.confidence, found.right) == (5, pytest.approx(0.502), 0.4)
    assert found.ece == pytest.approx((2 * 0.05 + 0.45 + 2 * 0.43) / 5)
    # Five predictions in ten bins of equal count: each is alone.
    assert found.ece_equal_mass == pytest.approx((0.05 + 0.91 + 0.45 + 0.1 + 0.0) / 5)


def test_of_equal_count() -> None:
    """Twenty predictions, two in each bin, and no gap where both means agree."""
    shares = np.repeat(np.arange(10) / 10 + 0.05, 2)
    found = calibration_of(shares, [False, True] * 10)
    assert found.ece_equal_mass == found.ece == pytest.approx(np.abs(np.arange(10) / 10 + 0.05 - 0.5).mean())


@settings(max_examples=60)
@given(pairs=CONFIDENCES)
def test_as_scikit_learn(pairs: list[tuple[float, bool]]) -> None:
    shares, right = (np.array(side, float) for side in zip(*pairs, strict=True))
    found = calibration_of(shares, right)
    their_right, their_mean = calibration_curve(right, shares, n_bins=BINS) if len(set(right)) == 2 else (None, None)
    if their_right is not None:
        np.testing.assert_allclose([each.right for each in found.bins], their_right)
        np.testing.assert_allclose([each.confidence for each in found.bins], their_mean)
    assert sum(each.count for each in found.bins) == found.count == len(pairs)
    assert abs(found.confidence - found.right) <= found.ece + 1e-9 and 0 <= found.ece <= 1
    assert abs(found.confidence - found.right) <= found.ece_equal_mass + 1e-9 <= 1 + 1e-9


def test_of_nothing_and_of_the_wrong_number() -> None:
    assert calibration_of([], []) == Calibration(0, 0.0, 0.0, 0.0, 0.0, ())
    with pytest.raises(ValueError, match="one confidence for each prediction"):
        calibration_of([0.5], [True, False])
    with pytest.raises(ValueError, match="one confidence for each prediction"):
        evaluate([["B-x"]], [["B-x"]], scheme=BIO, confidences=[[0.5, 0.5]], bootstrap=0)


# -- in reports and cards ----------------------------------------------------------------------------------------------

GOLD = [["B-x", "O", "B-y"], [], ["O", "B-x"]]
GUESS = [["B-x", "O", "B-x"], [], ["B-y", "B-x"]]
SHARES = [[0.9, 0.6], [], [0.3, 0.8]]


def test_a_report_of_entities() -> None:
    report = evaluate(GOLD, GUESS, scheme=BIO, confidences=SHARES, bootstrap=0)
    assert report.calibration is not None and report.calibration.right == report.micro.precision == 0.5
    assert (
        "\n\nconfidence: ECE 30.00% over 4 entities; 30.00% by equal counts\n"
        "confidence  entities   mean   right\n"
        "0.2 to 0.3         1  30.00    0.00\n"
        "0.5 to 0.6         1  60.00    0.00\n"
        "0.7 to 0.8         1  80.00  100.00\n"
        "0.8 to 0.9         1  90.00  100.00\n\n"
    ) in report.text()
    values = json.loads(json.dumps(report.to_dict()))["confidence"]
    assert values["ece"] == pytest.approx(0.3) and values["bins"][0] == {
        "low": 0.2, "high": 0.3, "count": 1, "confidence": 0.3, "right": 0.0,
    }  # fmt: skip
    without = evaluate(GOLD, GUESS, scheme=BIO, bootstrap=0)
    assert without.calibration is None and without.to_dict()["confidence"] is None and "ECE" not in without.text()
    nothing = evaluate([["O"]], [["O"]], scheme=BIO, confidences=[[]], bootstrap=0)
    assert nothing.calibration is not None and nothing.calibration.count == 0 and "ECE" not in nothing.text()


def test_a_report_of_plain_tags_and_of_labels_with_tags() -> None:
    plain = evaluate([["N", "V"]], [["N", "N"]], scheme=PLAIN, confidences=[[0.8, 0.7]], bootstrap=0)
    assert "confidence: ECE 45.00% over 2 tags" in plain.text()
    gold, guess = ([["ask", *row] for row in side] for side in (GOLD, GUESS))
    shares = [[0.75, *row] for row in SHARES]
    report = evaluate_jointly(gold, guess, scheme=BIO, confidences=shares, bootstrap=0)
    assert report.tags.calibration == evaluate(GOLD, GUESS, scheme=BIO, confidences=SHARES, bootstrap=0).calibration
    assert report.label.calibration is not None and report.label.calibration.ece == pytest.approx(0.25)


def test_a_card_says_it_in_a_sentence() -> None:
    values = evaluate(GOLD, GUESS, scheme=BIO, confidences=SHARES, bootstrap=0).to_dict()
    line = "mean 65.00 %, right 50.00 %, expected calibration error 30.00 % (10 bins of equal width)."
    card = model_card(miniature.model(), "words-1", {"test": values}, {})
    assert f"\n\nConfidence: {line}\n\n" in card
    joint = model_card(miniature.model(), "words-1", {"test": {"criterion": 0.5, "tags": values}}, {})
    assert f"Confidence of the tags: {line}" in joint and "`tags.confidence" not in joint


# -- of a model --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["crf", "segments", "softmax", "perceptron"])
@pytest.mark.parametrize("scheme", ["auto", "BIOES"])
def test_a_report_has_the_confidences_that_the_tagger_gives(head: str, scheme: str) -> None:
    corpus = miniature.corpus()
    options: dict[str, Any] = {"type": head, **({} if head == "segments" else {"scheme": scheme})}
    model = miniature.model({"head": options})
    (*_, _) = train(model, Corpus(corpus.train, corpus.dev), model.options.training.model_copy(update={"epochs": 1}))
    answers, confidences = model.predict_with_confidence(corpus.test)
    taggings = list(Tagger(model).tag_many(corpus.test))
    assert answers == [tagging.tags for tagging in taggings] and confidences is not None
    for found, tagging in zip(confidences, taggings, strict=True):
        assert found == pytest.approx(tagging.confidence, abs=1e-5)
    report = model.task.report(model, corpus.test)
    assert report.to_dict()["confidence"]["count"] == report.to_dict()["table"]["micro"]["predicted"]


def test_a_head_without_a_temperature_has_a_report_without_confidences() -> None:
    model = miniature.model({"head": {"type": "svm"}})
    assert model.predict_with_confidence(miniature.corpus().test)[1] is None
    assert model.task.report(model, miniature.corpus().test).to_dict()["confidence"] is None
