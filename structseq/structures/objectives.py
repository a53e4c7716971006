"""Training losses: (Structure, target) -> (B,)."""

from __future__ import annotations

import torch
from torch import Tensor

from structseq.structures.base import Structure


def negative_log_likelihood(structure: Structure, target: Tensor) -> Tensor:
    """(B,) -log p(target), in nats."""
    return -structure.log_prob(target)


def perceptron(structure: Structure, target: Tensor) -> Tensor:
    """(B,) score of the best answer minus that of ``target`` (B, T) (Collins 2002, section 2).

    Average the weights over the updates (section 2.4). The learned scores are not log-probabilities.
    """
    with torch.no_grad():
        best = structure.best().path
    return _less(structure.score(best), structure.score(target))


def structured_svm(structure: Structure, target: Tensor, cost: Tensor | None = None) -> Tensor:
    """(B,) margin-rescaled hinge loss: max over y of [score(y) + cost(y, target)] - score(target) (Taskar, Guestrin and
    Koller 2003; Tsochantaridis et al. 2005, section 2.2).

    ``cost`` (K, K) [gold, predicted] has the costs of wrong tags; None means 1 each (Hamming). The diagonal is not
    read. The learned scores are not log-probabilities.
    """
    augmented = cost_augmented(structure, target, cost)
    with torch.no_grad():
        worst = augmented.best().path
    return _less(augmented.score(worst), augmented.score(target))


def softmax_margin(structure: Structure, target: Tensor, cost: Tensor | None = None) -> Tensor:
    """(B,) -log p(target) with `structured_svm`'s ``cost`` added to the scores (Gimpel and Smith 2010, equation 3)."""
    return -cost_augmented(structure, target, cost).log_prob(target)


def partial_likelihood(structure: Structure, allowed: Tensor) -> Tensor:
    """(B,) -log of the total probability of all answers within ``allowed`` (B, T, K), booleans (Tsuboi et al. 2008,
    equation 3); inf if there are none."""
    return _less(structure.log_partition(), structure.within(allowed).log_partition())


def cost_augmented(structure: Structure, target: Tensor, cost: Tensor | None = None) -> Structure:
    """``structure`` with `structured_svm`'s ``cost`` added to each answer's score."""
    scores = structure.scores
    if scores.dim() != 3 or target.shape != scores.shape[:2]:
        raise ValueError(
            f"expected tag scores (rows, steps, tags) and a target (rows, steps), "
            f"found {tuple(scores.shape)} and {tuple(target.shape)}"
        )
    tags = scores.shape[2]
    if cost is None:
        cost = 1 - torch.eye(tags)
    if cost.shape != (tags, tags):
        raise ValueError(f"cost: expected a matrix ({tags}, {tags}) [gold, predicted], found {tuple(cost.shape)}")
    cost = cost.masked_fill(torch.eye(tags, dtype=torch.bool, device=cost.device), 0.0)
    # The padding of a target may be any number.
    places = target.to(scores.device).clamp(0, max(tags - 1, 0))
    return structure.with_scores(scores + cost.to(scores)[places] if tags else scores)


def _less(most: Tensor, own: Tensor) -> Tensor:
    """``most`` - ``own``, at least 0; inf if ``own`` is impossible."""
    return torch.where(torch.isneginf(own), torch.inf, (most - own).clamp(min=0))
