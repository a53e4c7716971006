"""Distributions over answers: what every head returns, and the recursion from which their verbs are derived.

A `Structure` is an exact dynamic programme. It writes `score` and one recursion over a semiring; every other verb
follows from that recursion by differentiation: the gradient of log Z with respect to a score is that score's marginal,
the gradient of the maximum marks the best path, a gradient drawn at random instead of spread is a sample, and the
derivative along a direction of the weights is an expectation, from which entropy and divergence are made (Goodman 1999,
"Semiring parsing"; Li and Eisner 2009, "First- and second-order expectation semirings"; Eisner 2016, "Inside-outside
and forward-backward algorithms are just backprop"). A fast kernel is an override of a derived verb, and the tests hold
it to the derivation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor


class Semiring(ABC):
    """How a recursion adds alternatives up; steps of one path always add (log domain).

    A recursion writes ``semiring.lift(first)`` once, then adds weights to what it has and calls ``sum`` over a
    dimension counted from the end, because a semiring may keep several values where the recursion sees one.
    """

    def lift(self, values: Tensor) -> Tensor:
        """Values as this semiring keeps them."""
        return values

    @abstractmethod
    def sum(self, values: Tensor, dim: int) -> Tensor:
        """Combine alternatives along ``dim`` (negative); where every alternative is -inf the answer is -inf with
        gradient zero."""


class LogSum(Semiring):
    """Total probability of all paths: log-sum-exp, in nats."""

    def sum(self, values: Tensor, dim: int) -> Tensor:
        highest = values.detach().amax(dim, keepdim=True)
        # A column of -inf alone would give NaN (inf - inf): shift it by 0 and let log(0) be masked.
        highest = torch.where(torch.isneginf(highest), torch.zeros_like(highest), highest)
        total = (values - highest).exp().sum(dim)
        dead = total == 0
        log_total = torch.where(dead, torch.ones_like(total), total).log() + highest.squeeze(dim)
        return torch.where(dead, torch.full_like(log_total, -torch.inf), log_total)


class Best(Semiring):
    """Score of the single best path; ties go to the lowest index."""

    def sum(self, values: Tensor, dim: int) -> Tensor:
        # gather, not amax: amax spreads its gradient over ties, and a best path is one path.
        chosen = values.detach().argmax(dim, keepdim=True)
        return values.gather(dim, chosen).squeeze(dim)


class KBest(Semiring):
    """Scores of the k best paths, best first, along a new dimension 0; -inf where there are fewer (Huang and Chiang
    2005)."""

    def __init__(self, k: int) -> None:
        self.k = k

    def lift(self, values: Tensor) -> Tensor:
        rest = torch.full_like(values, -torch.inf).expand(self.k - 1, *values.shape)
        return torch.cat([values.unsqueeze(0), rest])

    def sum(self, values: Tensor, dim: int) -> Tensor:
        # Alternatives first, ranks within them: a stable sort breaks ties by the lowest index, then the lower rank.
        every = values.movedim(dim, 0).flatten(0, 1)
        order = every.detach().argsort(dim=0, descending=True, stable=True)
        return every.gather(0, order[: self.k])


class Sampled(Semiring):
    """Total probability as `LogSum`, whose gradient goes to one alternative, drawn by its share of the total (Eisner
    2016, section 7): the gradient of log Z marks a sampled path, and each back-propagation draws anew."""

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self.generator = generator

    def sum(self, values: Tensor, dim: int) -> Tensor:
        total: Tensor = _DrawnSum.apply(values, dim, self.generator)
        return total


class _DrawnSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, dim: int, generator: torch.Generator | None) -> Tensor:
        ctx.dim, ctx.generator = dim, generator
        ctx.save_for_backward(values)
        return LogSum().sum(values, dim)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        (values,) = ctx.saved_tensors
        chosen = draw(values.movedim(ctx.dim, -1), ctx.generator).unsqueeze(ctx.dim)
        return torch.zeros_like(values).scatter(ctx.dim, chosen, upstream.unsqueeze(ctx.dim)), None, None


def draw(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One index of the last dimension for each (..., K), with probability softmax(logits); what is -inf is never drawn
    (0 where all is). Float64 inside, one uniform number a draw."""
    share = torch.nan_to_num(torch.softmax(logits.double(), -1)).cumsum(-1)
    device = generator.device if generator is not None else logits.device
    chance = torch.rand(logits.shape[:-1], generator=generator, dtype=torch.float64, device=device).to(logits.device)
    # Strictly above: an alternative of probability zero shares its bound with the one before it and cannot be hit.
    chosen = torch.searchsorted(share, (chance * share[..., -1]).unsqueeze(-1), right=True).squeeze(-1)
    last = (logits.shape[-1] - 1 - torch.isfinite(logits).flip(-1).to(torch.int8).argmax(-1)).clamp(min=0)
    return torch.minimum(chosen, last)


class Ranked(NamedTuple):
    """Answers and their scores: ``path`` (B, T) int64 with 0 beyond each row's length (the blank, where it is a label
    sequence of `Ctc`), and its ``score`` (B,).

    Of `Structure.ranked` they are (B, k, T) and (B, k), best first; where a row has fewer answers the score is -inf.
    """

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


class Searched(Distribution):
    """A distribution over sequences of their own length, whose best ones are searched for."""

    @abstractmethod
    def beam(self, width: int, k: int = 1) -> Ranked:
        """The ``k`` best answers that a search finds which keeps ``width`` beginnings: path (B, k, U), 0 (or the blank)
        beyond each end, and score (B, k), best first; -inf where fewer were found."""


class Structure(Distribution):
    """An exact dynamic programme over weights, the first of which are scores (B, T, ...).

    A member writes `weights`, `with_weights`, `score` and `recursion`, and `_path` where an answer is no tag sequence.
    """

    exact = frozenset(
        {"log_prob", "best", "log_partition", "marginals", "ranked", "sample", "entropy", "kl", "minimum_risk"}
    )  # fmt: skip

    scores: Tensor
    lengths: Tensor

    # -- what a member writes -----------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def weights(self) -> tuple[Tensor, ...]:
        """Every weight that a path adds up, the scores first; each with the rows first, B of them or one for all.

        ``-inf`` forbids.
        """

    @abstractmethod
    def with_weights(self, weights: tuple[Tensor, ...]) -> Self:
        """The same structure over other weights, shaped as `weights` (where those have one row they may have B)."""

    @abstractmethod
    def score(self, target: Tensor) -> Tensor:
        """(B,) unnormalised log-score of each row's ``target`` (B, T)."""

    @abstractmethod
    def recursion(self, semiring: Semiring, weights: tuple[Tensor, ...]) -> Tensor:
        """(..., B) the sum over all answers, in ``semiring``, of their scores under ``weights``; nothing to answer
        sums to 0."""

    def _path(self, marks: Tensor) -> Tensor:
        """(B, T) the answer whose parts are marked with 1 in ``marks``, shaped as the scores."""
        return marks.argmax(-1)

    # -- what follows -------------------------------------------------------------------------------------------------

    def log_partition(self) -> Tensor:
        """(B,) log of the sum over all answers of exp(score), in nats; 0 for an empty row, -inf for a row without any
        possible answer."""
        return self.recursion(LogSum(), self.weights)

    def log_prob(self, target: Tensor) -> Tensor:
        log_z = self.log_partition()
        # A row in which nothing is possible gives every answer probability 0, not NaN.
        found = self.score(target) - torch.where(torch.isneginf(log_z), torch.zeros_like(log_z), log_z)
        return found - torch.relu(found.detach())  # what rounding put above 0

    def marginals(self) -> Tensor:
        """Probability of each scored part, shaped as the scores (for tags (B, T, K): that position t bears tag k); zero
        beyond each row's length."""
        return self._gradients(LogSum())[0]

    def best(self) -> Ranked:
        marks = self._gradients(Best())[0]
        return Ranked(self._path(marks), self.recursion(Best(), self._detached()))

    def ranked(self, k: int) -> Ranked:
        """The ``k`` best answers of each row, best first: path (B, k, T) and score (B, k), -inf and 0 where there are
        fewer."""
        require_count(k, "k")
        if self.scores.numel() == 0:
            return nothing_ranked(self.scores.shape[0], k, self.scores)
        with torch.inference_mode(False), torch.enable_grad():
            parts = self._leaves()
            totals = self.recursion(KBest(k), parts)  # (k, B)
            paths = []
            for total in totals:
                found = torch.isfinite(total)
                (marks,) = torch.autograd.grad(total[found].sum(), parts[:1], retain_graph=True, allow_unused=True)
                paths.append(self._path(torch.zeros_like(self.scores) if marks is None else marks))
        return Ranked(torch.stack(paths, 1), totals.detach().T.contiguous())

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, B, T) answers drawn independently, 0 beyond each row's length; reproducible by ``generator``."""
        require_count(n, "n")
        if self.scores.numel() == 0:
            return torch.zeros(n, *self.scores.shape[:2], dtype=torch.int64, device=self.scores.device)
        with torch.inference_mode(False), torch.enable_grad():
            parts = tuple(part.double().requires_grad_() for part in self._leaves())
            total = self.recursion(Sampled(generator), parts)
            total = total[torch.isfinite(total)].sum()
            paths = []
            for _ in range(n):
                (marks,) = torch.autograd.grad(total, parts[:1], retain_graph=True, allow_unused=True)
                paths.append(self._path(torch.zeros_like(self.scores) if marks is None else marks))
        return torch.stack(paths)

    def entropy(self) -> Tensor:
        """(B,) entropy in nats, 0 for an empty row; computed in float64, differentiable."""
        return (self._log_z() - self.expected(tuple(_finite(part) for part in self.weights))).to(self.scores.dtype)

    def kl(self, other: Structure) -> Tensor:
        """(B,) Kullback-Leibler divergence of ``other`` from this distribution, in nats: the mean under this one of
        log p - log q; inf where ``other`` forbids what this one allows, 0 for a row in which nothing is possible.

        Raises ValueError where the two are not of one kind and shape.
        """
        mine, theirs = self.weights, other.weights
        shapes = [part.shape[1:] for part in mine], [part.shape[1:] for part in theirs]
        if type(other) is not type(self) or shapes[0][0] != shapes[1][0] or not self.lengths.equal(other.lengths):
            raise ValueError(
                f"expected a {type(self).__name__} of scores {tuple(self.scores.shape)} and the same lengths, "
                f"found a {type(other).__name__} of {tuple(other.scores.shape)}"
            )
        apart = tuple(_finite(p) - _finite(q).to(p.device) for p, q in zip(mine, theirs, strict=True))
        lost = tuple(torch.isneginf(q).expand_as(d).to(d) for q, d in zip(theirs, apart, strict=True))
        divergence = self.expected(apart) - self._log_z() + other._log_z()
        with torch.no_grad():
            infinite = self.expected(lost) > 0
            nothing = torch.isneginf(self.log_partition())
        divergence = torch.where(infinite, torch.inf, divergence.clamp(min=0))
        return torch.where(nothing, 0.0, divergence).to(self.scores.dtype)

    def expected(self, values: tuple[Tensor, ...]) -> Tensor:
        """(B,) float64: the mean, over answers, of the ``values`` (shaped as `weights`) of their parts, added up.

        It is the derivative of log Z along ``values`` (Li and Eisner 2009, section 4), so it can be differentiated.
        """
        learned = torch.is_grad_enabled() and any(part.requires_grad for part in (*self.weights, *values))
        rows = self.scores.shape[0]
        if self.scores.numel() == 0:
            return torch.zeros(rows, dtype=torch.float64, device=self.scores.device)
        with torch.inference_mode(False), torch.enable_grad():
            amount = torch.zeros(rows, dtype=torch.float64, device=self.scores.device, requires_grad=True)
            moved = []
            for part, value in zip(self.weights, values, strict=True):
                part, value = (part, value) if learned else (part.detach().clone(), value.detach().clone())
                # Only where the part is possible: its gradient is then exactly 0 where it is not.
                never = torch.isneginf(part)
                along = amount.view(-1, *[1] * (part.dim() - 1)) * torch.where(never, 0.0, value.double())
                moved.append(torch.where(never, -torch.inf, part.double() + along))
            total = self.recursion(LogSum(), tuple(moved))
            (mean,) = torch.autograd.grad(total[torch.isfinite(total)].sum(), amount, create_graph=learned)
        return mean

    def minimum_risk(self) -> Ranked:
        """The possible answer that is right in most parts on average: minimum Bayes risk under a loss that counts wrong
        parts (for tags: posterior decoding, Rabiner 1989, section III.B, over legal sequences only).

        Its ``score`` is the expected number of right parts.
        """
        shares = self.marginals()
        scores, *others = self._detached()
        scores = torch.where(torch.isneginf(scores), -torch.inf, shares)
        only = tuple(torch.where(torch.isneginf(part), -torch.inf, torch.zeros_like(part)) for part in others)
        return self.with_weights((scores, *only)).best()

    def tempered(self, temperature: float) -> Self:
        """The distribution proportional to exp(score / ``temperature``): flatter above 1, sharper below."""
        return self.with_weights(tuple(part / temperature for part in self.weights))

    def with_scores(self, scores: Tensor) -> Self:
        """The same structure over other scores, shaped as its own."""
        return self.with_weights((scores, *self.weights[1:]))

    def within(self, allowed: Tensor) -> Self:
        """The same structure where only what is ``allowed`` (boolean, shaped as the scores) is possible."""
        if allowed.dtype != torch.bool or allowed.shape != self.scores.shape:
            raise ValueError(
                f"allowed: expected booleans of shape {tuple(self.scores.shape)}, "
                f"found {allowed.dtype} of shape {tuple(allowed.shape)}"
            )
        return self.with_scores(torch.where(allowed.to(self.scores.device), self.scores, -torch.inf))

    # -- differentiation at a zero ------------------------------------------------------------------------------------

    def _log_z(self) -> Tensor:
        """(B,) log Z in float64, 0 for a row without any possible answer."""
        log_z = self.recursion(LogSum(), tuple(part.double() for part in self.weights))
        return torch.where(torch.isneginf(log_z), torch.zeros_like(log_z), log_z)

    def _detached(self) -> tuple[Tensor, ...]:
        return tuple(part.detach() for part in self.weights)

    def _leaves(self) -> tuple[Tensor, ...]:
        """Copies of the weights that ask for gradients: the caller's tensors stay untouched."""
        return tuple(part.detach().clone().requires_grad_() for part in self.weights)

    def _gradients(self, semiring: Semiring) -> tuple[Tensor, ...]:
        """Derivatives of the recursion, shaped as `weights`."""
        if self.scores.numel() == 0:
            return tuple(torch.zeros_like(part) for part in self._detached())
        with torch.inference_mode(False), torch.enable_grad():
            parts = self._leaves()
            total = self.recursion(semiring, parts)
            total = total[torch.isfinite(total)].sum()
            found = torch.autograd.grad(total, parts, allow_unused=True, materialize_grads=True)
        return found


class Independent(Structure):
    """Softmax as a structure: every position is decided on its own.

    Parameters
    ----------
    scores: (B, T, K)
        In nats. Half precision is computed in float32.
    lengths: (B,)
        True length of each row; what lies beyond is never read.
    """

    def __init__(self, scores: Tensor, lengths: Tensor) -> None:
        self.scores, self.lengths = scores.to(torch.promote_types(scores.dtype, torch.float32)), lengths

    def log_prob(self, target: Tensor) -> Tensor:
        if self.scores.dtype == torch.float64:
            return super().log_prob(target)
        # Of a long row two large numbers nearly cancel.
        return self.with_scores(self.scores.double()).log_prob(target).to(self.scores.dtype)

    def _real(self) -> Tensor:
        steps = torch.arange(self.scores.shape[1], device=self.scores.device)
        return steps < self.lengths.to(self.scores.device).unsqueeze(1)

    @property
    def weights(self) -> tuple[Tensor, ...]:
        # Padding is replaced before any arithmetic: a NaN times a zero mask would still be a NaN.
        return (torch.where(self._real().unsqueeze(-1), self.scores, torch.zeros_like(self.scores)),)

    def with_weights(self, weights: tuple[Tensor, ...]) -> Independent:
        return Independent(weights[0], self.lengths)

    def score(self, target: Tensor) -> Tensor:
        real = self._real()
        index = target.masked_fill(~real, 0).unsqueeze(-1)
        picked = self.scores.gather(-1, index).squeeze(-1)
        return torch.where(real, picked, torch.zeros_like(picked)).sum(1)

    def recursion(self, semiring: Semiring, weights: tuple[Tensor, ...]) -> Tensor:
        (scores,), real = weights, self._real()
        total = semiring.lift(scores.new_zeros(scores.shape[0]))
        for t in range(scores.shape[1]):
            onward = semiring.sum(total.unsqueeze(-1) + scores[:, t], -1)
            total = torch.where(real[:, t], onward, total)
        return total


def require_count(number: int, name: str) -> None:
    """Raise ValueError unless ``number`` is a whole number from 1 on."""
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"{name}: expected a whole number from 1 on, found {number!r}")


def lengths_of(lengths: Tensor, rows: int, most: int, name: str = "lengths") -> Tensor:
    """(B,) int64 on the CPU, side by side in memory, as the compiled kernels read them.

    Raises ValueError where there are not ``rows`` whole numbers from 0 to ``most``.
    """
    known = lengths.cpu()
    whole = not (known.is_floating_point() or known.is_complex() or known.dtype == torch.bool)
    numbers = known.tolist()
    if known.shape != (rows,) or not whole or (rows and not 0 <= min(numbers) <= max(numbers) <= most):
        raise ValueError(f"{name}: expected {rows} whole numbers from 0 to {most}, found {lengths.dtype} {numbers}")
    return known.long().contiguous()


def nothing_ranked(rows: int, k: int, like: Tensor) -> Ranked:
    """The one answer of rows in which there is nothing to answer, as `Structure.ranked` gives it."""
    scores = torch.full((rows, k), -torch.inf, dtype=like.dtype, device=like.device)
    scores[:, :1] = 0
    return Ranked(torch.zeros(rows, k, like.shape[1], dtype=torch.int64, device=like.device), scores)


def _finite(part: Tensor) -> Tensor:
    """``part`` in float64 with 0 where it forbids."""
    return torch.where(torch.isneginf(part), torch.zeros_like(part), part).double()
