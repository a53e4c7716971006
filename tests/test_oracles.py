"""The oracles against numbers worked out on paper, and against each other."""

from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
from oracles import Chain


def test_two_tags_two_steps_on_paper() -> None:
    # exp of the scores: paths 00, 01, 10, 11 weigh 2*3*5*11, 2*3*7*13, ... all read off the tables below
    chain = Chain(
        np.log([[2.0, 1.0], [5.0, 7.0]]), np.log([[3.0, 1.0], [1.0, 2.0]]), np.log([1.0, 4.0]), np.log([11.0, 13.0])
    )
    weights = {(0, 0): 2 * 3 * 5 * 11, (0, 1): 2 * 1 * 7 * 13, (1, 0): 4 * 1 * 1 * 5 * 11, (1, 1): 4 * 1 * 2 * 7 * 13}
    total = sum(weights.values())
    assert oracles.log_partition(chain) == pytest.approx(math.log(total))
    assert oracles.best(chain) == ((1, 1), pytest.approx(math.log(728)))
    assert oracles.marginals(chain)[0, 0] == pytest.approx((330 + 182) / total)
    assert oracles.gradients(chain).transitions[1, 0] == pytest.approx(220 / total)
    assert oracles.log_prob(chain, (1, 0)) == pytest.approx(math.log(220 / total))


def test_an_empty_row_has_one_path_with_score_zero() -> None:
    chain = Chain(np.zeros((0, 3)), np.ones((3, 3)), np.ones(3), np.ones(3))
    assert oracles.scored_paths(chain) == [((), 0.0)]
    assert oracles.log_partition(chain) == 0.0
    assert oracles.entropy(chain) == oracles.minimum_risk(chain) == oracles.kl(chain, chain) == 0.0
    assert oracles.ranked(chain, 3) == [((), 0.0)]


def test_equals_go_to_the_lowest_last_tag_first() -> None:
    chain = Chain(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 0.0]]), np.zeros(2), np.zeros(2))
    assert oracles.best(chain) == ((1, 0), 2.0)
    assert oracles.best(Chain(np.zeros((3, 2)), np.zeros((2, 2)), np.zeros(2), np.zeros(2)))[0] == (0, 0, 0)


def paper() -> Chain:
    """Paths 00, 01, 10 and 11 weigh 1, 2, 3 and 2 of 8."""
    table = np.log([[1.0, 2.0], [3.0, 2.0]])
    return Chain(np.zeros((2, 2)), table, np.zeros(2), np.zeros(2))


def test_every_verb_on_paper() -> None:
    chain = paper()
    assert [path for path, _ in oracles.ranked(chain, 9)] == [(1, 0), (0, 1), (1, 1), (0, 0)]
    assert [round(math.exp(score)) for _, score in oracles.ranked(chain, 3)] == [3, 2, 2]
    shares = [1 / 8, 2 / 8, 3 / 8, 2 / 8]
    assert oracles.entropy(chain) == pytest.approx(-sum(p * math.log(p) for p in shares))
    np.testing.assert_allclose(oracles.edge_marginals(chain), [[[1 / 8, 2 / 8], [3 / 8, 2 / 8]]])
    # position 0 bears tag 1 in 5 of 8, both tags of position 1 stand in 4 of 8
    assert oracles.minimum_risk(chain) == pytest.approx(9 / 8)
    assert oracles.right_on_average(chain, (0, 1)) == pytest.approx(3 / 8 + 4 / 8)
    even = chain._replace(transitions=np.zeros((2, 2)))
    assert oracles.kl(chain, even) == pytest.approx(math.log(4) - oracles.entropy(chain))
    forbids = even._replace(transitions=np.array([[-math.inf, 0.0], [0.0, 0.0]]))
    assert oracles.kl(chain, forbids) == math.inf
    assert oracles.kl(forbids, chain) == pytest.approx(sum(math.log(8 / weight / 3) for weight in (2, 3, 2)) / 3)


def test_every_objective_on_paper() -> None:
    chain = paper()
    only_first = np.array([[True, False], [True, True]])
    assert oracles.partial_likelihood(chain, only_first) == pytest.approx(math.log(8 / 3))
    assert oracles.partial_likelihood(chain, np.ones((2, 2), bool)) == 0
    # against 01: one wrong tag for 00 and 11, two for 10
    assert dict(oracles.costs(chain, (0, 1))) == {(0, 0): 1, (0, 1): 0, (1, 0): 2, (1, 1): 1}
    assert oracles.structured_svm(chain, (0, 1)) == pytest.approx(math.log(3) + 2 - math.log(2))
    e = math.e
    assert oracles.softmax_margin(chain, (0, 1)) == pytest.approx(math.log((e + 2 + 3 * e * e + 2 * e) / 2))
    dear = np.array([[0.0, 0.5], [10.0, 0.0]])  # [gold, predicted]: 0 for 1 costs 10
    assert oracles.structured_svm(chain, (0, 1), dear) == pytest.approx(math.log(3) + 10.5 - math.log(2))


def test_steps_may_have_tables_of_their_own() -> None:
    steps = np.log([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    chain = Chain(np.zeros((3, 2)), steps, np.zeros(2), np.zeros(2))
    assert oracles.path_score(chain, (1, 0, 1)) == pytest.approx(math.log(3 * 6))
    total = 1 * 5 + 1 * 6 + 2 * 7 + 2 * 8 + 3 * 5 + 3 * 6 + 4 * 7 + 4 * 8
    assert oracles.log_partition(chain) == pytest.approx(math.log(total))
    np.testing.assert_allclose(oracles.gradients(chain).transitions, oracles.edge_marginals(chain))
    assert oracles.edge_marginals(chain)[1, 0, 1] == pytest.approx((1 * 6 + 3 * 6) / total)


def test_equals_are_ranked_by_their_last_tags_first() -> None:
    even = Chain(np.zeros((2, 2)), np.zeros((2, 2)), np.zeros(2), np.zeros(2))
    assert [path for path, _ in oracles.ranked(even, 4)] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert oracles.ranked(oracles.within(even, np.zeros((2, 2), bool)), 4) == []


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(3, 3), (4, 3, 3)], ids=str)
def test_dynamic_programming_agrees_with_writing_all_down(seed: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    chain = Chain(rng.normal(size=(5, 3)), rng.normal(size=shape), rng.normal(size=3), rng.normal(size=3))
    assert oracles.long_log_partition(chain) == pytest.approx(oracles.log_partition(chain), abs=1e-12)
    np.testing.assert_allclose(oracles.long_marginals(chain), oracles.marginals(chain), atol=1e-12)
    path, score = oracles.long_best(chain)
    assert (tuple(path), score) == (oracles.best(chain)[0], pytest.approx(oracles.best(chain)[1]))
