"""Significance: counts against spans read one by one, bootstrap against all resamples there are, Holm by closure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.errors import DataError
from structseq.evaluation import entity_f1
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
OTHERS = [np.array([[1, 2, 3], [2, 2, 2], [1, 1, 1]]), np.array([[3, 4, 3], [0, 2, 2], [0, 1, 1]])]


def f1(rows: Sequence[Sequence[int]]) -> float:
    right, predicted, gold = (sum(column) for column in zip(*rows, strict=True))
    return 2 * right / (predicted + gold) if predicted + gold else 0.0


def mean_of(counts: Sequence[Counts], seeds: Sequence[int], sentences: Sequence[int]) -> float:
    return sum(f1(counts[seed][list(sentences)].tolist()) for seed in seeds) / len(seeds)


def draws(count: int) -> list[tuple[int, ...]]:
    """Everything that drawing ``count`` of ``count`` with replacement can give, each as likely as the others."""
    return list(product(range(count), repeat=count))


def test_the_interval_is_that_of_all_resamples() -> None:
    every = sorted(mean_of(THREE, seeds, rows) for rows in draws(3) for seeds in draws(2))
    low, high = mean_interval(THREE)
    # Within a percent of the tails: what is drawn is a sample of `every`.
    assert np.quantile(every, 0.015) <= low <= np.quantile(every, 0.035)
    assert np.quantile(every, 0.965) <= high <= np.quantile(every, 0.985)
    one_seed = sorted(mean_of(THREE, (0,), rows) for rows in draws(3))
    low, high = mean_interval(THREE[:1])
    assert (low, high) == pytest.approx((one_seed[0], one_seed[-1])), "the extremes are drawn in 1 of 27 each"


@pytest.mark.parametrize("same", [True, False], ids=["the same seeds", "other seeds"])
def test_the_p_value_is_that_of_all_resamples(same: bool) -> None:
    found = paired_bootstrap(dict(enumerate(THREE)), dict(enumerate(OTHERS, 0 if same else 5)))
    difference = mean_of(THREE, (0, 1), (0, 1, 2)) - mean_of(OTHERS, (0, 1), (0, 1, 2))
    assert found.difference == pytest.approx(difference)
    sides = [(seeds, seeds) for seeds in draws(2)] if same else list(product(draws(2), draws(2)))
    every = [mean_of(THREE, one, rows) - mean_of(OTHERS, other, rows) for rows in draws(3) for one, other in sides]
    exact = np.mean([abs(drawn - difference) >= abs(difference) - 1e-12 for drawn in every])
    assert 0.05 < exact < 0.95, "a case that says something"
    assert found.p == pytest.approx(exact, abs=0.02)
    assert np.quantile(every, 0.01) <= found.interval[0] <= np.quantile(every, 0.04)
    assert np.quantile(every, 0.96) <= found.interval[1] <= np.quantile(every, 0.99)


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
    assert found.p >= 1 / 10_001, "never 0"
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
