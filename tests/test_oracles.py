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


def test_equals_go_to_the_lowest_last_tag_first() -> None:
    chain = Chain(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 0.0]]), np.zeros(2), np.zeros(2))
    assert oracles.best(chain) == ((1, 0), 2.0)
    assert oracles.best(Chain(np.zeros((3, 2)), np.zeros((2, 2)), np.zeros(2), np.zeros(2)))[0] == (0, 0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_dynamic_programming_agrees_with_writing_all_down(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chain = Chain(rng.normal(size=(5, 3)), rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=3))
    assert oracles.long_log_partition(chain) == pytest.approx(oracles.log_partition(chain), abs=1e-12)
    np.testing.assert_allclose(oracles.long_marginals(chain), oracles.marginals(chain), atol=1e-12)
    path, score = oracles.long_best(chain)
    assert (tuple(path), score) == (oracles.best(chain)[0], pytest.approx(oracles.best(chain)[1]))
