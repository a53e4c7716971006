"""Distributions over answers: what every head returns, and the recursion from which their verbs are derived.

A `Structure` is an exact dynamic programme. It writes `score` and one recursion over a semiring; `log_partition`,
`marginals` and `best` follow from that recursion by differentiation: the gradient of log Z with respect to a score is
that score's marginal, the gradient of the maximum marks the best path (Goodman 1999, "Semiring parsing"; Eisner 2016,
"Inside-outside and forward-backward algorithms are just backprop"). A fast kernel is an override of a derived verb,
and the tests hold it to the derivation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor


class Semiring(ABC):
    """How a recursion adds alternatives up; steps of one path always add (log domain)."""

    @staticmethod
    @abstractmethod
    def sum(values: Tensor, dim: int) -> Tensor:
        """Combine alternatives along ``dim``; where every alternative is -inf the answer is -inf with gradient zero."""


class LogSum(Semiring):
    """Total probability of all paths: log-sum-exp, in nats."""

    @staticmethod
    def sum(values: Tensor, dim: int) -> Tensor:
        highest = values.detach().amax(dim, keepdim=True)
        # A column of -inf alone would give NaN (inf - inf): shift it by 0 and let log(0) be masked.
        highest = torch.where(torch.isneginf(highest), torch.zeros_like(highest), highest)
        total = (values - highest).exp().sum(dim)
        dead = total == 0
        log_total = torch.where(dead, torch.ones_like(total), total).log() + highest.squeeze(dim)
        return torch.where(dead, torch.full_like(log_total, -torch.inf), log_total)


class Best(Semiring):
    """Score of the single best path; ties go to the lowest index."""

    @staticmethod
    def sum(values: Tensor, dim: int) -> Tensor:
        # gather, not amax: amax spreads its gradient over ties, and a best path is one path.
        chosen = values.detach().argmax(dim, keepdim=True)
        return values.gather(dim, chosen).squeeze(dim)


class Ranked(NamedTuple):
    """A best answer: ``path`` (B, T) int64 with 0 beyond each row's length, and its ``score`` (B,)."""

    path: Tensor
    score: Tensor


class Distribution(ABC):
    """A probability distribution over answers, one for each row of a batch.

    Attributes
    ----------
    exact:
        Names of the verbs whose answers are exact rather than approximate.
    calibrated:
        Whether the scores were learned as log-probabilities. A margin's were not, and then no confidence is reported
        until a temperature has been fitted on held-out data.
    """

    exact: frozenset[str] = frozenset({"log_prob", "best"})
    calibrated: bool = True

    @abstractmethod
    def log_prob(self, target: Tensor) -> Tensor:
        """(B,) log-probability of each row's ``target``, in nats, never positive."""

    @abstractmethod
    def best(self) -> Ranked:
        """The most probable answer of each row."""


class Structure(Distribution):
    """An exact dynamic programme over scores (B, T, K)."""

    exact = frozenset({"log_prob", "best", "log_partition", "marginals"})

    scores: Tensor
    lengths: Tensor

    @abstractmethod
    def score(self, target: Tensor) -> Tensor:
        """(B,) unnormalised log-score of each row's ``target`` (B, T)."""

    @abstractmethod
    def recursion(self, semiring: type[Semiring], scores: Tensor) -> Tensor:
        """(B,) the sum over all answers, in ``semiring``, of their scores, with ``scores`` in place of the structure's
        own."""

    def log_partition(self) -> Tensor:
        """(B,) log of the sum over all answers of exp(score), in nats; 0 for an empty row."""
        return self.recursion(LogSum, self.scores)

    def log_prob(self, target: Tensor) -> Tensor:
        return self.score(target) - self.log_partition()

    def marginals(self) -> Tensor:
        """(B, T, K) probability that position t bears tag k; zero beyond each row's length."""
        return self._gradient(LogSum)

    def best(self) -> Ranked:
        marks = self._gradient(Best)
        return Ranked(marks.argmax(-1), self.recursion(Best, self.scores.detach()))

    def _gradient(self, semiring: type[Semiring]) -> Tensor:
        """Derivative of the recursion at a zero tensor added to the scores, so that the caller's tensors stay
        untouched."""
        if self.scores.numel() == 0:
            return torch.zeros_like(self.scores)
        with torch.inference_mode(False), torch.enable_grad():
            scores = self.scores.detach().clone()
            zero = torch.zeros_like(scores, requires_grad=True)
            total = self.recursion(semiring, scores + zero)
            (gradient,) = torch.autograd.grad(total[torch.isfinite(total)].sum(), zero, allow_unused=True)
        return torch.zeros_like(scores) if gradient is None else gradient


class Independent(Structure):
    """Softmax as a structure: every position is decided on its own.

    Parameters
    ----------
    scores: (B, T, K)
    lengths: (B,)
    """

    def __init__(self, scores: Tensor, lengths: Tensor) -> None:
        self.scores, self.lengths = scores, lengths
        steps = torch.arange(scores.shape[1], device=scores.device)
        self._real = steps < lengths.to(scores.device).unsqueeze(1)

    def score(self, target: Tensor) -> Tensor:
        index = target.masked_fill(~self._real, 0).unsqueeze(-1)
        picked = self.scores.gather(-1, index).squeeze(-1)
        return torch.where(self._real, picked, torch.zeros_like(picked)).sum(1)

    def recursion(self, semiring: type[Semiring], scores: Tensor) -> Tensor:
        each = semiring.sum(torch.where(self._real.unsqueeze(-1), scores, torch.zeros_like(scores)), -1)
        return torch.where(self._real, each, torch.zeros_like(each)).sum(1)
