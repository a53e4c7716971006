"""What the chain must answer, by writing every tag sequence down: float64, slow and obvious; it knows no structseq.

A chain is ``(scores, transitions, start, end)`` with scores (L, K), transitions (K, K) [from, to], start and end (K,).
Everything below is for one row; a batch is a list of rows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

Path = tuple[int, ...]


class Chain(NamedTuple):
    """One row's weights in float64."""

    scores: np.ndarray
    transitions: np.ndarray
    start: np.ndarray
    end: np.ndarray


class Gradients(NamedTuple):
    """Derivatives of log Z, one for each part of a `Chain`."""

    scores: np.ndarray
    transitions: np.ndarray
    start: np.ndarray
    end: np.ndarray


def paths(length: int, tags: int) -> Iterator[Path]:
    """Every tag sequence of that length."""
    return itertools.product(range(tags), repeat=length)


def path_score(chain: Chain, path: Path) -> float:
    """start + emissions + transitions + end, added up; an empty path has nothing to add."""
    if not path:
        return 0.0
    total = float(chain.start[path[0]]) + float(chain.end[path[-1]])
    for t, tag in enumerate(path):
        total += float(chain.scores[t, tag])
    for before, after in itertools.pairwise(path):
        total += float(chain.transitions[before, after])
    return total


def scored_paths(chain: Chain) -> list[tuple[Path, float]]:
    """Every path with its score."""
    length, tags = chain.scores.shape
    return [(path, path_score(chain, path)) for path in paths(length, tags)]


def log_sum(values: Sequence[float]) -> float:
    """log of the sum of exponentials; -inf where there is nothing to add."""
    top = max(values, default=-math.inf)
    if top == -math.inf:
        return -math.inf
    return top + math.log(math.fsum(math.exp(value - top) for value in values))


def log_partition(chain: Chain) -> float:
    return log_sum([score for _, score in scored_paths(chain)])


def probabilities(chain: Chain) -> list[tuple[Path, float]]:
    """Every path with its probability; all zero where no path is possible."""
    scored = scored_paths(chain)
    log_z = log_sum([score for _, score in scored])
    if log_z == -math.inf:
        return [(path, 0.0) for path, _ in scored]
    return [(path, math.exp(score - log_z)) for path, score in scored]


def log_prob(chain: Chain, path: Path) -> float:
    return path_score(chain, path) - log_partition(chain)


def marginals(chain: Chain) -> np.ndarray:
    """(L, K) probability that position t bears tag k."""
    return gradients(chain).scores


def gradients(chain: Chain) -> Gradients:
    """Expected counts: of tags at positions, of moves, of first and of last tags. They are the derivatives of log Z."""
    length, tags = chain.scores.shape
    counts = Gradients(np.zeros((length, tags)), np.zeros((tags, tags)), np.zeros(tags), np.zeros(tags))
    for path, probability in probabilities(chain):
        if not path:
            continue
        counts.start[path[0]] += probability
        counts.end[path[-1]] += probability
        for t, tag in enumerate(path):
            counts.scores[t, tag] += probability
        for before, after in itertools.pairwise(path):
            counts.transitions[before, after] += probability
    return counts


def best(chain: Chain) -> tuple[Path, float]:
    """The best path and its score; of equals the one with the lowest last tag, then the lowest before it, and so on."""
    scored = scored_paths(chain)
    top = max(score for _, score in scored)
    return min((path for path, score in scored if score == top), key=lambda path: path[::-1]), top


def probability_that(chain: Chain, holds: Callable[[Path], bool]) -> float:
    """Total probability of the paths of which ``holds`` is true."""
    return math.fsum(probability for path, probability in probabilities(chain) if holds(path))


# -- too long to write down: the same by plain dynamic programming in float64 -----------------------------------------


def forward(chain: Chain) -> np.ndarray:
    """(L, K) log of the summed exp(score) of all paths that end in tag k at step t."""
    table = [chain.start + chain.scores[0]]
    for emission in chain.scores[1:]:
        table.append(np.logaddexp.reduce(table[-1][:, None] + chain.transitions, axis=0) + emission)
    return np.array(table)


def backward(chain: Chain) -> np.ndarray:
    """(L, K) log of the summed exp(score) of all that can come behind tag k at step t."""
    table = [chain.end]
    for emission in chain.scores[:0:-1]:
        table.append(np.logaddexp.reduce(chain.transitions + emission + table[-1], axis=1))
    return np.array(table[::-1])


def long_log_partition(chain: Chain) -> float:
    return float(np.logaddexp.reduce(forward(chain)[-1] + chain.end))


def long_marginals(chain: Chain) -> np.ndarray:
    both = forward(chain) + backward(chain)
    return np.exp(both - np.logaddexp.reduce(both, axis=1, keepdims=True))


def long_best(chain: Chain) -> tuple[list[int], float]:
    """Viterbi with back-pointers; `numpy.argmax` takes the lowest index of equals."""
    here, back = chain.start + chain.scores[0], []
    for emission in chain.scores[1:]:
        moves = here[:, None] + chain.transitions
        back.append(moves.argmax(axis=0))
        here = moves.max(axis=0) + emission
    final = here + chain.end
    path = [int(final.argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return path[::-1], float(final.max())
