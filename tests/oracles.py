"""What the chain must answer, by writing every tag sequence down: float64, slow and obvious; it knows no structseq.

A chain is ``(scores, transitions, start, end)`` with scores (L, K), transitions (K, K) [from, to] or (L-1, K, K) for
each step, start and end (K,). Everything below is for one row; a batch is a list of rows.
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


def transitions_at(chain: Chain, step: int) -> np.ndarray:
    """(K, K) what each move from ``step`` to the next is worth."""
    return chain.transitions if chain.transitions.ndim == 2 else chain.transitions[step]


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
    for t, (before, after) in enumerate(itertools.pairwise(path)):
        total += float(transitions_at(chain, t)[before, after])
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
    """Expected counts of tags at positions, transitions, first and last tags: the derivatives of log Z."""
    counts = Gradients(*(np.zeros(part.shape) for part in chain))
    for path, probability in probabilities(chain):
        if not path:
            continue
        counts.start[path[0]] += probability
        counts.end[path[-1]] += probability
        for t, tag in enumerate(path):
            counts.scores[t, tag] += probability
        for t, (before, after) in enumerate(itertools.pairwise(path)):
            transitions_at(Chain(*counts), t)[before, after] += probability
    return counts


def edge_marginals(chain: Chain) -> np.ndarray:
    """(L-1, K, K) probability that positions t and t + 1 bear tags i and k."""
    length, tags = chain.scores.shape
    found = np.zeros((max(length - 1, 0), tags, tags))
    for path, probability in probabilities(chain):
        for t, (before, after) in enumerate(itertools.pairwise(path)):
            found[t, before, after] += probability
    return found


def best(chain: Chain) -> tuple[Path, float]:
    """The best path and its score; of equals the one with the lowest last tag, then the lowest before it, and so on."""
    scored = scored_paths(chain)
    top = max(score for _, score in scored)
    return min((path for path, score in scored if score == top), key=lambda path: path[::-1]), top


def ranked(chain: Chain, k: int) -> list[tuple[Path, float]]:
    """The possible paths, best first, ``k`` of them at most; equals stand in the order of their last tags, then of
    those before, and so on."""
    possible = [(path, score) for path, score in scored_paths(chain) if score > -math.inf]
    return sorted(possible, key=lambda pair: (-pair[1], pair[0][::-1]))[:k]


def entropy(chain: Chain) -> float:
    """-sum p log p in nats."""
    return -math.fsum(p * math.log(p) for _, p in probabilities(chain) if p > 0)


def kl(chain: Chain, other: Chain) -> float:
    """sum p (log p - log q) in nats; inf where q forbids what p allows. Forbidden is a score of -inf."""
    log_p, log_q = log_partition(chain), log_partition(other)
    total = 0.0
    for path, score in scored_paths(chain):
        if score == -math.inf:
            continue
        against = path_score(other, path)
        if against == -math.inf:
            return math.inf
        total += math.exp(score - log_p) * ((score - log_p) - (against - log_q))
    return total


def right_on_average(chain: Chain, path: Path) -> float:
    """Expected number of positions at which ``path`` bears the right tag."""
    shares = marginals(chain)
    return math.fsum(shares[t, tag] for t, tag in enumerate(path))


def minimum_risk(chain: Chain) -> float:
    """The highest expected number of right tags that a possible path reaches; -inf where none is possible."""
    shares = marginals(chain)
    possible = [path for path, score in scored_paths(chain) if score > -math.inf]
    return max((math.fsum(shares[t, tag] for t, tag in enumerate(path)) for path in possible), default=-math.inf)


def within(chain: Chain, allowed: np.ndarray) -> Chain:
    """The chain in which only ``allowed`` (L, K) tags are possible."""
    return chain._replace(scores=np.where(allowed, chain.scores, -math.inf))


def partial_likelihood(chain: Chain, allowed: np.ndarray) -> float:
    """-log of the total probability of the paths through ``allowed`` (L, K) tags alone."""
    return log_partition(chain) - log_partition(within(chain, allowed))


def costs(chain: Chain, target: Path, cost: np.ndarray | None = None) -> list[tuple[Path, float]]:
    """What each path costs against ``target``: (K, K) [gold, predicted] ``cost`` added up, 1 a wrong tag by default."""
    table = 1.0 - np.eye(chain.scores.shape[1]) if cost is None else cost
    return [
        (path, math.fsum(table[gold, tag] for gold, tag in zip(target, path, strict=True)))
        for path, _ in scored_paths(chain)
    ]


def augmented_scores(chain: Chain, target: Path, cost: np.ndarray | None = None) -> list[float]:
    """Score plus cost of each path."""
    return [path_score(chain, path) + added for path, added in costs(chain, target, cost)]


def structured_svm(chain: Chain, target: Path, cost: np.ndarray | None = None) -> float:
    """max over paths of score + cost, less the target's score."""
    return max(augmented_scores(chain, target, cost)) - path_score(chain, target)


def softmax_margin(chain: Chain, target: Path, cost: np.ndarray | None = None) -> float:
    """log of the summed exp(score + cost) of all paths, less the target's score."""
    return log_sum(augmented_scores(chain, target, cost)) - path_score(chain, target)


def probability_that(chain: Chain, holds: Callable[[Path], bool]) -> float:
    """Total probability of the paths of which ``holds`` is true."""
    return math.fsum(probability for path, probability in probabilities(chain) if holds(path))


# -- too long to write down: the same by plain dynamic programming in float64 -----------------------------------------


def forward(chain: Chain) -> np.ndarray:
    """(L, K) log of the summed exp(score) of all paths that end in tag k at step t."""
    table = [chain.start + chain.scores[0]]
    for t, emission in enumerate(chain.scores[1:]):
        table.append(np.logaddexp.reduce(table[-1][:, None] + transitions_at(chain, t), axis=0) + emission)
    return np.array(table)


def backward(chain: Chain) -> np.ndarray:
    """(L, K) log of the summed exp(score) of all that can come behind tag k at step t."""
    table = [chain.end]
    for t in range(len(chain.scores) - 1, 0, -1):
        table.append(np.logaddexp.reduce(transitions_at(chain, t - 1) + chain.scores[t] + table[-1], axis=1))
    return np.array(table[::-1])


def long_log_partition(chain: Chain) -> float:
    return float(np.logaddexp.reduce(forward(chain)[-1] + chain.end))


def long_marginals(chain: Chain) -> np.ndarray:
    both = forward(chain) + backward(chain)
    return np.exp(both - np.logaddexp.reduce(both, axis=1, keepdims=True))


def long_best(chain: Chain) -> tuple[list[int], float]:
    """Viterbi with back-pointers; `numpy.argmax` takes the lowest index of equals."""
    here, back = chain.start + chain.scores[0], []
    for t, emission in enumerate(chain.scores[1:]):
        gained = here[:, None] + transitions_at(chain, t)
        back.append(gained.argmax(axis=0))
        here = gained.max(axis=0) + emission
    final = here + chain.end
    path = [int(final.argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return path[::-1], float(final.max())


# -- labels shorter than their frames (CTC): every frame path written down --------------------------------------------


def read(path: Path, blank: int) -> Path:
    """What a frame path says: a label wherever it is no blank and the frame before did not say it."""
    return tuple(label for t, label in enumerate(path) if label != blank and (t == 0 or path[t - 1] != label))


def frame_log_probs(scores: np.ndarray) -> np.ndarray:
    """(L, K) log softmax of each frame; -inf in a frame in which nothing is possible."""
    return np.array([[float(score) - log_sum(list(frame)) if score > -math.inf else -math.inf for score in frame]
                     for frame in scores]).reshape(scores.shape)  # fmt: skip


def readings(scores: np.ndarray, blank: int) -> dict[Path, list[tuple[Path, float]]]:
    """Every label sequence that frames (L, K) of log-probabilities can read, with all its frame paths and their
    log-probabilities."""
    found: dict[Path, list[tuple[Path, float]]] = {}
    for path in paths(*scores.shape):
        total = math.fsum(scores[t, label] for t, label in enumerate(path))
        found.setdefault(read(path, blank), []).append((path, total))
    return found


def sequence_log_probs(scores: np.ndarray, blank: int) -> dict[Path, float]:
    """Log-probability of every label sequence."""
    found = readings(scores, blank)
    return {labels: log_sum([total for _, total in ways]) for labels, ways in found.items()}


def occupancies(scores: np.ndarray, blank: int, labels: Path) -> np.ndarray:
    """(L, K) probability that a frame bears a label, given what the frames read; zero where they cannot read it."""
    ways = readings(scores, blank).get(labels, [])
    whole, found = log_sum([total for _, total in ways]), np.zeros(scores.shape)
    for path, total in ways:
        for t, label in enumerate(path):
            if total > -math.inf:
                found[t, label] += math.exp(total - whole)
    return found


def latest_best(scores: np.ndarray, blank: int, labels: Path) -> tuple[Path, float] | None:
    """The best frame path that reads ``labels``; of equals that which has begun fewest of them, or is on the label and
    not yet on the blank behind it, at the last frame, then at the frame before, and so on. None if there is no path."""

    def places(path: Path) -> list[int]:
        """From the last frame back: twice the labels begun, one less on a label."""
        return [2 * len(read(path[: t + 1], blank)) - (path[t] != blank) for t in reversed(range(len(path)))]

    possible = [way for way in readings(scores, blank).get(labels, []) if way[1] > -math.inf]
    top = max((total for _, total in possible), default=-math.inf)
    return min((way for way in possible if way[1] == top), key=lambda way: places(way[0]), default=None)
