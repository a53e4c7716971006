"""Forward-backward on a chain, its closed-form gradient, and the fall back to wider numbers where a row needs them.

The recursion runs scaled in the scores' own type (`kernels` on the CPU, `vectorised` elsewhere); rows in which a tag
that can be reached comes near the end of float32's range again in float64; and what that cannot hold, in logarithms.
The gradient of log Z is written down, not traced: it is the expected number of times each weight is used, which the
recursion has at hand, so that memory is B T K instead of the B T K^2 of a traced one.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from structseq import compiling
from structseq.structures import vectorised
from structseq.structures.base import LogSum, Semiring

# The smallest share of the mass that a tag may have, and the largest backward variable: beside either end of the type
# there must be room for the precision of what is kept.
ROOM = {torch.float32: (1e-30, 1e36), torch.float64: (1e-290, 1e300)}
_LIMITS = {kind: torch.tensor(limits, dtype=kind).numpy() for kind, limits in ROOM.items()}
LANES = 16
_NONE = torch.zeros(0, dtype=torch.int64)


def serves(scores: Tensor) -> bool:
    """Whether the compiled kernels serve: float32 or float64 on the CPU, something to do, Numba at hand."""
    return scores.device.type == "cpu" and scores.dtype in ROOM and scores.numel() > 0 and compiling.available()


class Chain(Protocol):
    """What is needed of a chain: its weights in the shapes of `LinearChain.weights`, and its definition."""

    scores: Tensor
    moves: Tensor
    first: Tensor
    last: Tensor
    lengths: Tensor

    @property
    def weights(self) -> tuple[Tensor, ...]: ...

    def with_weights(self, weights: tuple[Tensor, ...]) -> Chain: ...

    def rows(self, chosen: Tensor) -> Chain: ...

    def posteriors(self) -> Posteriors: ...

    def path_score(self, target: Tensor) -> Tensor: ...

    def recursion(self, semiring: Semiring, weights: tuple[Tensor, ...]) -> Tensor: ...


class Scaled(NamedTuple):
    """Variables of the scaled recursion; W is K, or K rounded up with zeros. Zero where a row is not alive."""

    weights: Tensor  # (B, T, W) exp(score - step maximum)
    factors: Tensor  # (R, S, W, W)
    first: Tensor  # (Q, W)
    last: Tensor  # (Q, W)
    alphas: Tensor  # (B, T, W)
    arrivals: Tensor  # (B, T, W) out of each step
    scales: Tensor  # (B, T+1)
    alive: Tensor  # (B,) bool


class Posteriors(NamedTuple):
    """What one forward-backward leaves behind."""

    marginals: Tensor  # (B, T, K)
    log_z: Tensor  # (B,) float64
    scaled: Scaled
    dead: Tensor  # (D,) rows that the scaled recursion could not hold
    dead_moves: Tensor  # (D, S, K, K) their expected moves; S is 1 or T-1, as in the chain's own table

    def expected_moves(self, upstream: Tensor, shape: torch.Size) -> Tensor:
        """Expected number of each move, rows weighted by ``upstream`` (B,): as the chain's table of ``shape``
        (R, S, K, K), rows and steps added up where the table has one for all."""
        if torch.is_autocast_enabled(upstream.device.type):  # a product of matrices must not lose digits
            with torch.autocast(upstream.device.type, enabled=False):
                return self.expected_moves(upstream, shape)
        scaled, tags = self.scaled, shape[-1]
        alphas, factors = scaled.alphas, scaled.factors
        arrivals = scaled.arrivals * upstream[:, None, None]
        if shape[1] > 1:
            found = alphas[:, :-1, :, None] * arrivals[:, :-1, None, :] * factors
            found = found if shape[0] > 1 else found.sum(0, keepdim=True)
        elif shape[0] > 1:
            found = (alphas.transpose(1, 2) @ arrivals).unsqueeze(1) * factors
        else:
            found = (alphas.flatten(0, 1).T @ arrivals.flatten(0, 1)) * factors
        found = found[..., :tags, :tags]
        if len(self.dead):
            lost = self.dead_moves * upstream[self.dead][:, None, None, None]
            rows = self.dead if shape[0] > 1 else torch.zeros_like(self.dead)
            found = found.index_add(0, rows, lost)
        return found


def posteriors(chain: Chain) -> Posteriors:
    """Forward-backward over the rows of ``chain``, without gradients."""
    if serves(chain.scores):
        scaled, marginals, log_z = _compiled(chain)
        if scaled.alive.numpy().all():
            return Posteriors(marginals, log_z, scaled, _NONE, log_z)
    with torch.no_grad(), torch.autocast(chain.scores.device.type, enabled=False):
        if not serves(chain.scores):
            scaled, marginals, log_z = _by_torch(chain)
        dead = (~scaled.alive).nonzero().squeeze(1)
        moves = log_z
        if len(dead):
            found, log_z[dead], moves = _wider(chain.rows(dead), chain.scores.dtype == torch.float32)
            marginals[dead], moves = found.to(marginals.dtype), moves.to(marginals.dtype)
    return Posteriors(marginals, log_z, scaled, dead, moves)


def _wider(chain: Chain, again: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Marginals, log Z and expected moves (B, S, K, K) of a float64 chain that has a table for each row: scaled
    (``again``), then in logarithms."""
    if not again:
        return _in_logarithms(chain)
    scaled, marginals, log_z = _compiled(chain) if serves(chain.scores) else _by_torch(chain)
    dead = (~scaled.alive).nonzero().squeeze(1)
    nothing = log_z.new_zeros(0)
    found = Posteriors(marginals, log_z, scaled, dead[:0], nothing)
    moves = found.expected_moves(torch.ones_like(log_z), chain.moves.shape)
    if len(dead):
        marginals[dead], log_z[dead], moves[dead] = _in_logarithms(chain.rows(dead))
    return marginals, log_z, moves


def _in_logarithms(chain: Chain) -> tuple[Tensor, Tensor, Tensor]:
    if not serves(chain.scores):
        with torch.enable_grad():
            parts = tuple(part.detach().clone().requires_grad_() for part in chain.weights)
            total = chain.recursion(LogSum(), parts)
            every = torch.autograd.grad(total[torch.isfinite(total)].sum(), parts[:2], allow_unused=True)
        marginals, moves = (torch.zeros_like(p) if g is None else g for p, g in zip(parts, every, strict=False))
        return marginals, total.detach(), moves
    from structseq.structures import kernels

    parts = chain.weights
    marginals, moves, log_z = torch.empty_like(parts[0]), torch.empty_like(parts[1]), parts[0].new_empty(len(parts[0]))
    arrays = [part.detach().contiguous().numpy() for part in parts]
    kernels.log_domain(*arrays, chain.lengths.numpy(), log_z.numpy(), marginals.numpy(), moves.numpy())
    return marginals, log_z, moves


def _compiled(chain: Chain) -> tuple[Scaled, Tensor, Tensor]:
    from structseq.structures import kernels

    kind = chain.scores.dtype
    inputs = [part.detach().contiguous().numpy() for part in (chain.scores, chain.moves, chain.first, chain.last)]
    scores, moves, start, end = inputs
    rows, steps, tags = scores.shape
    width = -(-tags // LANES) * LANES
    lengths, number = chain.lengths.numpy(), scores.dtype
    # One exponential for everything: the parts lie end to end.
    size = width * (rows * steps + moves.shape[0] * moves.shape[1] * width + len(start) + len(end))
    exponents, log_z = np.empty(size, number), np.empty(rows)
    forbidden = kernels.shifted(scores, moves, start, end, lengths, exponents, log_z)
    np.exp(exponents, out=exponents)
    alphas, arrivals = np.empty((2, rows, steps, width), number)
    scales, marginals, alive = np.empty((rows, steps + 1), number), np.empty(scores.shape, number), np.empty(rows, bool)
    least, most = _LIMITS[kind]
    kernels.solved(
        *inputs, lengths, forbidden, exponents, least, most, alphas, arrivals, scales, marginals, log_z, alive
    )
    parts = kernels.parted.py_func(exponents, rows, steps, tags, moves, start, end)
    variables = (torch.from_numpy(part) for part in (*parts, alphas, arrivals, scales, alive))
    return Scaled(*variables), torch.from_numpy(marginals), torch.from_numpy(log_z)


def _by_torch(chain: Chain) -> tuple[Scaled, Tensor, Tensor]:
    scores, *tables = (part.detach() for part in chain.weights)
    (factors, between), (first, opened), (last, closed) = (
        _exponential(part, dims) for part, dims in zip(tables, (2, 1, 1), strict=True)
    )
    top = scores.amax(-1, keepdim=True)
    top = torch.where(torch.isfinite(top), top, torch.zeros_like(top))
    weights = torch.exp(scores - top)
    lengths = chain.lengths.to(scores.device)
    steps = torch.arange(scores.shape[1], device=scores.device)
    least, most = ROOM[scores.dtype]
    reached = vectorised.reach(scores, tables[0], tables[1])
    alphas, scales, log_z, alive = vectorised.forward_scaled(weights, factors, first, last, reached, lengths, least)
    marginals, arrivals, alive = vectorised.backward_scaled(
        weights, factors, last, lengths, most, alphas, scales, alive
    )
    moved = between.double().expand(-1, max(scores.shape[1] - 1, 0)) * (steps[1:] < lengths.unsqueeze(1))
    shift = torch.where(steps < lengths.unsqueeze(1), top.squeeze(-1).double(), 0.0).sum(1) + moved.sum(1)
    shift = shift + torch.where(lengths > 0, opened.double() + closed.double(), 0.0)
    kept = alive[:, None, None]
    scaled = Scaled(weights, factors, first, last, torch.where(kept, alphas, 0.0), arrivals, scales, alive)
    return scaled, marginals, log_z + shift


def _exponential(values: Tensor, dims: int) -> tuple[Tensor, Tensor]:
    """exp(values - maximum) over the last ``dims`` dimensions, and the maximum; -inf throughout is left at zero."""
    top = values.amax(tuple(range(-dims, 0)), keepdim=True)
    top = torch.where(torch.isfinite(top), top, torch.zeros_like(top))
    return torch.exp(values - top), top.flatten(-dims).squeeze(-1)


class LogPartition(torch.autograd.Function):
    """log Z with its closed-form gradient: the expected number of times each weight is used."""

    @staticmethod
    def forward(ctx: Any, chain: Chain, scores: Tensor, moves: Tensor, start: Tensor, end: Tensor) -> Tensor:
        ctx.posteriors, ctx.lengths, ctx.like = chain.posteriors(), chain.lengths, chain.with_weights
        ctx.save_for_backward(scores, moves, start, end)
        return ctx.posteriors.log_z.to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # the gradient itself is to be differentiated: torch's own operations can be
            return (None, *_derived(ctx.like(ctx.saved_tensors), None, upstream))
        return (None, *expected_counts(ctx.posteriors, ctx.lengths, upstream, *ctx.saved_tensors[1:]))


class LogProb(torch.autograd.Function):
    """log p of a path, with its closed-form gradient: what the path uses less what is expected."""

    @staticmethod
    def forward(
        ctx: Any, chain: Chain, target: Tensor, scores: Tensor, moves: Tensor, start: Tensor, end: Tensor
    ) -> Tensor:
        total = path_scores((scores, moves, start, end), target, chain.lengths)
        ctx.posteriors, ctx.lengths, ctx.like = chain.posteriors(), chain.lengths, chain.with_weights
        ctx.save_for_backward(target, scores, moves, start, end)
        log_z = ctx.posteriors.log_z
        found = total - log_z
        if len(ctx.posteriors.dead):
            found = torch.where(torch.isneginf(log_z), total, found)
        return found.to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        target, scores, *tables = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (None, None, *_derived(ctx.like((scores, *tables)), target, upstream))
        found = expected_counts(ctx.posteriors, ctx.lengths, -upstream, *tables)
        path_scores_back(upstream, target, ctx.lengths, found)
        return (None, None, *found)


class PathScore(torch.autograd.Function):
    """Score of a path by the compiled kernels."""

    @staticmethod
    def forward(
        ctx: Any, chain: Chain, target: Tensor, scores: Tensor, moves: Tensor, start: Tensor, end: Tensor
    ) -> Tensor:
        ctx.lengths, ctx.like = chain.lengths, chain.with_weights
        ctx.save_for_backward(target, scores, moves, start, end)
        return path_scores((scores, moves, start, end), target, chain.lengths).to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        target, *parts = ctx.saved_tensors
        if torch.is_grad_enabled():
            chain = ctx.like(tuple(parts))
            return (None, None, *_gradients(chain.path_score(target), parts, upstream))
        found = [torch.zeros_like(part) for part in parts]
        path_scores_back(upstream, target, ctx.lengths, found)
        return (None, None, *found)


def path_scores(parts: tuple[Tensor, ...], target: Tensor, lengths: Tensor) -> Tensor:
    """(B,) float64 scores of paths ``target`` (B, T) int64, by the kernel; raises IndexError for a tag out of range."""
    from structseq.structures import kernels

    total = torch.empty(len(target), dtype=torch.float64)
    arrays = [part.detach().contiguous().numpy() for part in parts]
    row = kernels.path_scores(*arrays, target.numpy(), lengths.numpy(), total.numpy())
    if row < len(target):
        tags = parts[0].shape[2]
        wrong = [(t, tag) for t, tag in enumerate(target[row, : lengths[row]].tolist()) if not 0 <= tag < tags]
        step, found = wrong[0]
        raise IndexError(f"expected tags from 0 to {tags - 1}, found {found} in row {row} at step {step}")
    return total


def path_scores_back(upstream: Tensor, target: Tensor, lengths: Tensor, gradients: list[Tensor]) -> None:
    """Adds ``upstream`` (B,) to ``gradients`` wherever the paths' scores were read."""
    from structseq.structures import kernels

    arrays = [part.numpy() for part in gradients]
    kernels.path_scores_back(upstream.contiguous().numpy(), target.numpy(), lengths.numpy(), *arrays)


def expected_counts(
    found: Posteriors, lengths: Tensor, upstream: Tensor, moves: Tensor, start: Tensor, end: Tensor
) -> list[Tensor]:
    """Expected number of times each weight is used, rows weighted by ``upstream`` (B,)."""
    marginals = found.marginals
    for_moves = found.expected_moves(upstream, moves.shape).contiguous()
    if serves(marginals):
        from structseq.structures import kernels

        for_scores, for_start, for_end = torch.empty_like(marginals), torch.zeros_like(start), torch.zeros_like(end)
        arrays = [part.numpy() for part in (marginals, lengths, for_scores, for_start, for_end)]
        kernels.expected_back(upstream.contiguous().numpy(), *arrays)
        return [for_scores, for_moves, for_start, for_end]
    for_scores = marginals * upstream[:, None, None]
    rows = torch.arange(len(lengths), device=marginals.device)
    final = for_scores[rows, (lengths.to(marginals.device) - 1).clamp(min=0)]
    edges = (for_scores[:, 0], final)
    ends = [
        edge if len(part) > 1 else edge.sum(0, keepdim=True) for edge, part in zip(edges, (start, end), strict=True)
    ]
    return [for_scores, for_moves, *ends]


def _derived(chain: Chain, target: Tensor | None, upstream: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of log Z, or of a path's log-probability, that can be differentiated once more."""
    log_z = chain.recursion(LogSum(), chain.weights)
    total = log_z if target is None else chain.path_score(target) - log_z
    return _gradients(total, list(chain.weights), upstream)


def _gradients(total: Tensor, parts: list[Tensor], upstream: Tensor) -> tuple[Tensor | None, ...]:
    wanted = [part for part in parts if part.requires_grad]
    found = iter(torch.autograd.grad(total, wanted, upstream, create_graph=True, materialize_grads=True))
    return tuple(next(found) if part.requires_grad else None for part in parts)
