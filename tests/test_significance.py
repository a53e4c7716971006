"""Significance: counts against spans read one by one, variances against all resamples there are, Holm by closure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import t

from structseq.errors import DataError
from structseq.evaluation import entity_f1, evaluate
from structseq.evaluation.significance import (
    Counts,
    f1_of,
    holm_correction,
    mean_interval,
    paired_bootstrap,
    sentence_counts,
)
from structseq.spans import scheme_of

BIO, PLAIN = scheme_of("BIO"), scheme_of("plain")
TAGS = st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y"])


@st.composite
def both_sides(draw: st.DrawFn) -> tuple[list[list[str]], list[list[str]]]:
    lengths = draw(st.lists(st.integers(0, 6), max_size=6))
    gold, predicted = ([draw(st.lists(TAGS, min_size=n, max_size=n)) for n in lengths] for _ in range(2))
    return gold, predicted


# -- counts ------------------------------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=150)
@given(both_sides())
def test_counts_are_the_spans_of_each_sentence(sides: tuple[list[list[str]], list[list[str]]]) -> None:
    gold, predicted = sides
    found = sentence_counts(gold, predicted, BIO)
    assert found.shape == (len(gold), 3) and found.dtype == np.int64
    for row, one, other in zip(found.tolist(), gold, predicted, strict=True):
        right, guessed = set(BIO.decode(one)), set(BIO.decode(other))
        assert row == [len(right & guessed), len(guessed), len(right)]
    assert float(f1_of(found.sum(0))) == pytest.approx(entity_f1(gold, predicted, BIO))


def test_counts_of_plain_tags_make_accuracy() -> None:
    gold, predicted = [["DT", "NN"], [], ["VB"]], [["DT", "VB"], [], ["VB"]]
    found = sentence_counts(gold, predicted, PLAIN)
    assert found.tolist() == [[1, 2, 2], [0, 0, 0], [1, 1, 1]]
    assert float(f1_of(found.sum(0))) == pytest.approx(2 / 3)


def test_counts_refuse_what_does_not_match() -> None:
    with pytest.raises(DataError, match="sentence 1: expected 2 predicted tags"):
        sentence_counts([["O", "O"]], [["O"]], BIO)


def test_f1_of_nothing_is_nothing() -> None:
    assert f1_of(np.array([[0, 0, 0], [0, 3, 0], [2, 2, 2]])).tolist() == [0.0, 0.0, 1.0]


# -- the bootstrap, against every resample there is --------------------------------------------------------------------

THREE = [np.array([[2, 2, 3], [0, 1, 2], [1, 3, 1]]), np.array([[3, 3, 3], [1, 2, 2], [0, 0, 1]])]
ALIKE = [np.array([[3, 4, 4], [2, 2, 2], [0, 2, 2]]), np.array([[3, 4, 3], [2, 2, 2], [0, 1, 2]])]
OTHERS = [np.array([[1, 2, 3], [2, 2, 2], [1, 1, 1]]), np.array([[3, 4, 3], [0, 2, 2], [0, 1, 1]])]


def f1(rows: Sequence[Sequence[int]]) -> float:
    right, predicted, gold = (sum(column) for column in zip(*rows, strict=True))
    return 2 * right / (predicted + gold) if predicted + gold else 0.0


def mean_of(counts: Sequence[Counts], seeds: Sequence[int], sentences: Sequence[int]) -> float:
    return sum(f1(counts[seed][list(sentences)].tolist()) for seed in seeds) / len(seeds)


def draws(count: int) -> list[tuple[int, ...]]:
    """Everything that drawing ``count`` of ``count`` with replacement can give, each as likely as the others."""
    return list(product(range(count), repeat=count))


def parts_of(first: Sequence[Counts], second: Sequence[Counts] | None = None) -> tuple[float, float]:
    """The variance over two seeds, and the covariance over three sentences, of a mean F1 or of a difference."""
    every = np.array([[f1(side[list(rows)].tolist()) for side in first] for rows in draws(3)])
    observed = np.array([f1(side.tolist()) for side in first])
    if second is not None:
        every -= np.array([[f1(side[list(rows)].tolist()) for side in second] for rows in draws(3)])
        observed -= [f1(side.tolist()) for side in second]
    # Resamples of S sentences vary by (S - 1) / S as much as samples
    return observed.var(ddof=1) / 2, max(0.0, np.cov(every.T, bias=True)[0, 1] * 3 / 2)


def test_the_interval_has_the_variance_of_all_resamples() -> None:
    mean = mean_of(THREE, (0, 1), (0, 1, 2))
    seeds, sentences = parts_of(THREE)
    variance = seeds + sentences
    freedom = variance**2 / (seeds**2 / 1 + sentences**2 / 2)
    margin = t.ppf(0.975, freedom) * variance**0.5 / (mean * (1 - mean))
    assert mean_interval(THREE) == pytest.approx(expit([logit(mean) - margin, logit(mean) + margin]), abs=0.01)
    # One seed: the sentences' variance alone
    one = f1(THREE[0].tolist())
    variance = np.var([f1(THREE[0][list(rows)].tolist()) for rows in draws(3)]) * 3 / 2
    margin = t.ppf(0.975, 2) * variance**0.5 / (one * (1 - one))
    assert mean_interval(THREE[:1]) == pytest.approx(expit([logit(one) - margin, logit(one) + margin]), abs=0.01)


@pytest.mark.parametrize("others", [OTHERS, ALIKE], ids=["sentences add nothing", "both parts"])
def test_p_has_the_variance_of_all_resamples(others: Sequence[Counts]) -> None:
    found = paired_bootstrap(dict(enumerate(THREE)), dict(enumerate(others)))
    difference = mean_of(THREE, (0, 1), (0, 1, 2)) - mean_of(others, (0, 1), (0, 1, 2))
    assert found.difference == pytest.approx(difference)
    seeds, sentences = parts_of(THREE, others)
    assert (sentences > 0) == (others is ALIKE)

    def critical(p: float) -> float:
        quantiles = seeds * t.ppf(1 - p / 2, 1) + sentences * t.ppf(1 - p / 2, 2)
        return quantiles / (seeds + sentences) ** 0.5

    assert critical(found.p) == pytest.approx(abs(difference), rel=0.03) and 0.05 < found.p < 0.99
    low, high = difference - critical(0.05), difference + critical(0.05)
    assert found.interval == pytest.approx((low, high), rel=0.03)


def test_sentences_with_equal_counts_add_no_degrees_of_freedom() -> None:
    one = np.tile([2, 3, 3], (100, 1))
    other = one.copy()
    other[:4, 0] = [1, 1, 3, 1]
    found = paired_bootstrap({0: one}, {0: other}, resamples=20_000)
    # Four sentences differ: by 1, 1, -1 and 1 entities of 300
    differences = np.array([1, 1, -1, 1] + [0] * 96) / 3
    error = differences.std(ddof=1) / 10
    assert found.p == pytest.approx(2 * t.sf(differences.mean() / error, 3), rel=0.03)
    alone = one.copy()
    alone[0, 0] = 0
    low, high = paired_bootstrap({0: one}, {0: alone}).interval
    assert low < 0 < high and paired_bootstrap({0: one}, {0: alone}).p == 1.0


@pytest.mark.parametrize("shift", [0, 5], ids=["the same seeds", "other seeds"])
@pytest.mark.parametrize("scale", [1, 3])
def test_p_is_below_a_level_where_the_interval_leaves_0_out(shift: int, scale: int) -> None:
    random = np.random.default_rng(4)
    right = random.binomial(3, [[0.8], [0.82], [0.81], [0.8 - 0.03 * scale], [0.79 - 0.03 * scale]], (5, 400))
    table = [np.stack([row, np.full(400, 3), np.full(400, 3)], 1) for row in right]
    found = paired_bootstrap(dict(enumerate(table[:3])), dict(enumerate([*table[3:], table[3]], shift)), resamples=500)
    low, high = found.interval
    assert low < found.difference < high and (low > 0) == (found.p < 0.05) == (scale == 3)


def test_pairing_by_sentence_sees_what_two_intervals_do_not() -> None:
    random = np.random.default_rng(3)
    right = random.integers(0, 5, 200)
    table = np.stack([right, np.full(200, 5), np.full(200, 5)], 1)
    better = table.copy()
    better[::8, 0] = np.minimum(better[::8, 0] + 1, 5)
    one, other = mean_interval([better]), mean_interval([table])
    assert one[0] < other[1], "the intervals overlap"
    found = paired_bootstrap({0: better}, {0: table})
    assert found.interval[0] > 0 and found.p < 0.001
    assert found.p > 0
    back = paired_bootstrap({0: table}, {0: better})
    assert back.difference == -found.difference and back.p < 0.001


def test_no_difference_is_no_significance() -> None:
    found = paired_bootstrap({0: THREE[0], 1: THREE[1]}, {0: THREE[0], 1: THREE[1]})
    assert (found.difference, found.interval, found.p) == (0.0, (0.0, 0.0), 1.0)


def test_p_values_are_uniform_where_nothing_differs() -> None:
    random = np.random.default_rng(0)
    found = []
    for _ in range(200):
        both = random.binomial(3, 0.8, (2, 100))
        sides = [np.stack([side, np.full(100, 3), np.full(100, 3)], 1) for side in both]
        found.append(paired_bootstrap({0: sides[0]}, {0: sides[1]}, resamples=500).p)
    assert 0.02 <= np.mean(np.array(found) < 0.05) <= 0.09
    assert 0.4 <= np.mean(found) <= 0.6


def three_seeds(random: np.random.Generator, sentences: int, effect: float) -> list[Counts]:
    gold = np.full(sentences, 3)
    shares = 0.8 + effect * random.standard_normal(3)
    return [np.stack([random.binomial(3, share, sentences), gold, gold], 1) for share in shares]


def test_three_seeds_that_differ_are_no_difference_of_systems() -> None:
    random, p_values = np.random.default_rng(11), []
    for _ in range(150):
        sides = [dict(enumerate(three_seeds(random, 400, 0.05))) for _ in range(2)]
        p_values.append(paired_bootstrap(*sides, resamples=60).p)
    assert np.mean(np.array(p_values) < 0.05) < 0.09, "0.2 where seeds are only resampled"


@pytest.mark.parametrize(("sentences", "effect"), [(40, 0.0), (400, 0.05)], ids=["few sentences", "other seeds"])
def test_intervals_hold_the_truth(sentences: int, effect: float) -> None:
    random = np.random.default_rng(2)
    ends = [mean_interval(three_seeds(random, sentences, effect), resamples=60) for _ in range(150)]
    assert 0.9 <= np.mean([low <= 0.8 <= high for low, high in ends]) <= 0.99


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.permutations(range(8)), st.integers(1, 3))
def test_the_order_of_sentences_does_not_matter(order: list[int], seeds: int) -> None:
    random = np.random.default_rng(7)
    gold = random.integers(1, 4, 8)
    counts = [np.stack([random.integers(0, gold + 1), gold, gold], 1) for _ in range(seeds)]
    moved = [table[order] for table in counts]
    assert mean_interval(counts, resamples=200) == mean_interval(moved, resamples=200)
    low, high = mean_interval(counts, resamples=200)
    assert 0 <= low <= high <= 1


def test_the_seed_decides_what_is_drawn() -> None:
    assert mean_interval(THREE, resamples=50) == mean_interval(THREE, resamples=50)
    assert mean_interval(THREE, resamples=50) != mean_interval(THREE, resamples=50, seed=1)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="the same sentences"):
        paired_bootstrap({0: THREE[0]}, {0: THREE[0][:2]})
    with pytest.raises(ValueError, match="one seed or more"):
        mean_interval([])
    nothing = np.zeros((0, 3), np.int64)
    assert mean_interval([nothing]) == (0.0, 0.0)
    assert paired_bootstrap({0: nothing}, {0: nothing}).p == 1.0


def test_where_nothing_varies() -> None:
    right, wrong = np.array([[2, 2, 2]]), np.array([[1, 2, 2]])
    assert paired_bootstrap({0: right}, {0: wrong}).p == 1.0, "one sentence"
    found = paired_bootstrap({0: right.repeat(5, 0)}, {0: wrong.repeat(5, 0)}, resamples=99)
    assert (found.difference, found.interval, found.p) == (0.5, (0.5, 0.5), 0.01)
    assert mean_interval([right]) == (1.0, 1.0) and mean_interval([wrong.repeat(5, 0)]) == (0.5, 0.5)
    alike = [np.array([[2, 2, 2]] * 5), np.array([[1, 2, 2]] * 5)]
    low, high = mean_interval(alike)
    assert 0 < low < 0.2 and 0.97 < high < 1, "two seeds say little"


def test_evaluate_and_compare_have_the_same_interval() -> None:
    gold, predicted = [["B-x", "I-x", "B-y"], ["B-x", "O"]] * 9, [["B-x", "I-x", "O"], ["B-x", "B-y"]] * 9
    predicted[:4] = gold[:4]
    alone = mean_interval([sentence_counts(gold, predicted, BIO)], resamples=200, seed=3)
    assert evaluate(gold, predicted, scheme=BIO, bootstrap=200, seed=3).intervals["f1"] == pytest.approx(alone)


# -- several tests at once ---------------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=6))
def test_holm_is_bonferroni_closed(values: list[float]) -> None:
    """A hypothesis falls when every intersection with it falls by Bonferroni (Marcus, Peritz and Gabriel 1976)."""
    places = range(len(values))
    subsets = list(chain.from_iterable(combinations(places, size) for size in range(1, len(values) + 1)))
    closed = [
        max(min(1.0, len(subset) * min(values[n] for n in subset)) for subset in subsets if place in subset)
        for place in places
    ]
    assert holm_correction(values) == pytest.approx(closed)


def test_holm_of_one_and_of_none() -> None:
    assert holm_correction([0.04]) == [0.04] and holm_correction([]) == []


def test_holm_of_some_of_the_tests_holds_whatever_the_others_give() -> None:
    known, others = [0.004, 0.03], [0.02, 0.9]
    assert holm_correction(known, 4) == pytest.approx([0.016, 0.09])
    # The p-values that are not known can only be as small, which makes the factors smaller
    whole = holm_correction([*known, *others])[:2]
    assert all(one >= other for one, other in zip(holm_correction(known, 4), whole, strict=True))
