"""Training objectives: (Structure, target) -> (B,), each to be made small."""

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
    return structure.score(best) - structure.score(target)
