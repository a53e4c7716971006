"""Training objectives: (Structure, target) -> (B,), each to be made small.

| objective | what it compares with the target's score | source |
|---|---|---|
| `negative_log_likelihood` | all answers, by log-sum-exp | Lafferty, McCallum and Pereira 2001 |
| `perceptron` | the best answer | Collins 2002, section 2 |
| `structured_svm` | the best answer when wrong parts are worth their cost | Tsochantaridis et al. 2005 |
| `softmax_margin` | all answers, wrong parts worth their cost | Gimpel and Smith 2010 |
| `partial_likelihood` | all answers, of which several are right | Tsuboi et al. 2008 |
"""

from __future__ import annotations

import torch
from torch import Tensor

from structseq.structures.base import Structure


def negative_log_likelihood(structure: Structure, target: Tensor) -> Tensor:
    """(B,) -log p(target), in nats, never negative; convex in the scores (Lafferty, McCallum and Pereira 2001)."""
    return -structure.log_prob(target)


def perceptron(structure: Structure, target: Tensor) -> Tensor:
    """(B,) how much the best answer outscores ``target`` (B, T): 0 where the target is best (Collins 2002, section 2).

    Its gradient is the perceptron's update, features of the best answer less those of the target. Scores learned so
    are no log-probabilities; average the weights over the updates (Collins 2002, section 2.4).
    """
    with torch.no_grad():
        best = structure.best().path
    return _less(structure.score(best), structure.score(target))


def structured_svm(structure: Structure, target: Tensor, cost: Tensor | None = None) -> Tensor:
    """(B,) margin-rescaled hinge: how far ``target`` is from outscoring every other answer by that answer's cost
    (Taskar, Guestrin and Koller 2003; Tsochantaridis et al. 2005, section 2.2).

    max over y of [score(y) + cost(y, target)] - score(target), by Viterbi over scores to which the cost is added. It is
    never less than the cost of the best answer. Scores learned so are no log-probabilities.

    Parameters
    ----------
    structure:
        Over tags: scores (B, T, K).
    target: (B, T)
    cost: (K, K) [right, answered]
        What it costs to answer a tag where another is right; None counts wrong tags (Hamming). What is right costs
        nothing: the diagonal is not read.
    """
    augmented = cost_augmented(structure, target, cost)
    with torch.no_grad():
        worst = augmented.best().path
    return _less(augmented.score(worst), augmented.score(target))


def softmax_margin(structure: Structure, target: Tensor, cost: Tensor | None = None) -> Tensor:
    """(B,) -log p(target) under scores to which each answer's cost is added (Gimpel and Smith 2010, equation 3).

    Likelihood that is told which mistakes matter: the consistent answer to class weights, because training and decoding
    share one model. With zero cost it is `negative_log_likelihood`. Parameters as of `structured_svm`.
    """
    return -cost_augmented(structure, target, cost).log_prob(target)


def partial_likelihood(structure: Structure, allowed: Tensor) -> Tensor:
    """(B,) -log of the total probability of all answers within ``allowed`` (Tsuboi et al. 2008, equation 3).

    Parameters
    ----------
    allowed: (B, T, K)
        Booleans: the tags that may be right at a position. One a position makes it `negative_log_likelihood`; all of
        them, 0. inf where no possible answer is within.
    """
    return _less(structure.log_partition(), structure.within(allowed).log_partition())


def cost_augmented(structure: Structure, target: Tensor, cost: Tensor | None = None) -> Structure:
    """The structure whose answers score their cost against ``target`` (B, T) on top; parameters as of
    `structured_svm`."""
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
        raise ValueError(f"cost: expected a matrix ({tags}, {tags}) [right, answered], found {tuple(cost.shape)}")
    cost = cost.masked_fill(torch.eye(tags, dtype=torch.bool, device=cost.device), 0.0)
    # What lies in the padding of a target may be any number, and is never looked at.
    places = target.to(scores.device).clamp(0, max(tags - 1, 0))
    return structure.with_scores(scores + cost.to(scores)[places] if tags else scores)


def _less(most: Tensor, own: Tensor) -> Tensor:
    """``most`` - ``own``, which rounding must not put below 0; inf where ``own`` is impossible."""
    return torch.where(torch.isneginf(own), torch.inf, (most - own).clamp(min=0))
