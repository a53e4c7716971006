"""Forward-backward on a chain, its closed-form gradient, and the fallback to higher precision.

Rows that come near the end of float32's range run again in float64, and if that fails, in the log domain. The
closed-form gradient takes B T K memory, autograd B T K^2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from structseq import compiling
from structseq.structures import vectorised
from structseq.structures.base import LogSemiring, Semiring, real_steps

# The smallest forward and the largest backward variable that leave room for full precision.
ROOM = {torch.float32: (1e-30, 1e36), torch.float64: (1e-290, 1e300)}
_LIMITS = {kind: torch.tensor(limits, dtype=kind).numpy() for kind, limits in ROOM.items()}
LANES = 16
# Up to this many tags a loop counts transitions faster than a matrix product.
FEW = 32
_NONE = torch.zeros(0, dtype=torch.int64)


def can_use_kernels(scores: Tensor) -> bool:
    """Whether the compiled kernels can be used."""
    return scores.device.type == "cpu" and scores.dtype in ROOM and scores.numel() > 0 and compiling.numba_available()


class Chain(Protocol):
    """The part of `LinearChain` that is used here."""

    scores: Tensor
    transitions: Tensor
    start: Tensor
    end: Tensor
    lengths: Tensor

    @property
    def tables(self) -> tuple[Tensor, Tensor, Tensor]: ...
    @property
    def weights(self) -> tuple[Tensor, ...]: ...
    def with_weights(self, weights: tuple[Tensor, ...]) -> Chain: ...
    def float64_rows(self, rows: Tensor) -> Chain: ...
    def posteriors(self) -> Posteriors: ...
    def arrays(self) -> list[np.ndarray]: ...
    def path_score(self, target: Tensor) -> Tensor: ...
    def recursion(self, semiring: Semiring, weights: tuple[Tensor, ...]) -> Tensor: ...


class Scaled(NamedTuple):
    """Variables of the scaled recursion: arrays from `kernels`, or tensors with W = K."""

    weights: Any  # (B, T, W) exp(score - step maximum)
    factors: Any  # (R, S, W, W) exp(transition - maximum)
    start_factors: Any  # (Q, W) exp(start score - maximum)
    end_factors: Any  # (Q, W)
    alphas: Any  # (B, T, W)
    arrivals: Any  # (B, T, W) see `kernels.backward_scaled`
    scales: Any  # (B, T+1)
    alive: Any  # (B,) bool


class Posteriors(NamedTuple):
    marginals: Any  # (B, T, K)
    log_z: Any  # (B,) float64
    scaled: Scaled
    dead: Tensor  # (D,) rows outside the range of the scaled recursion
    dead_transitions: Any  # (D, S, K, K) their expected transitions; S is 1 or T-1, as in the chain's table
    lengths: Tensor  # (B,)

    def expected_transitions(self, upstream: Tensor, shape: torch.Size) -> Tensor:
        """Expected transition counts, weighted by ``upstream`` (B,) and summed to ``shape`` (R, S, K, K)."""
        if torch.is_autocast_enabled(upstream.device.type):  # autocast would lower the precision of products
            with torch.autocast(upstream.device.type, enabled=False):
                return self.expected_transitions(upstream, shape)
        scaled, tags = self.scaled, shape[-1]
        if shape[:2] == (1, 1) and isinstance(scaled.alphas, np.ndarray) and scaled.alphas.shape[2] <= FEW:
            from structseq.structures import kernels

            out = np.empty((1, 1, tags, tags), scaled.alphas.dtype)
            parts = (scaled.alphas, scaled.arrivals, scaled.factors[0, 0], self.lengths.numpy())
            kernels.expected_transitions(upstream.contiguous().numpy(), *parts, out[0, 0])
            found = torch.from_numpy(out)
        else:
            found = self._by_matrix_products(upstream, shape)
        if len(self.dead):
            dead_counts = self.dead_transitions * upstream[self.dead][:, None, None, None]
            rows = self.dead if shape[0] > 1 else torch.zeros_like(self.dead)
            found = found.index_add(0, rows, dead_counts)
        return found

    def _by_matrix_products(self, upstream: Tensor, shape: torch.Size) -> Tensor:
        """`expected_transitions` without dead rows."""
        scaled, tags = self.scaled, shape[-1]
        alphas, factors = torch.as_tensor(scaled.alphas), torch.as_tensor(scaled.factors)
        arrivals = torch.as_tensor(scaled.arrivals) * upstream[:, None, None]
        if shape[1] > 1:
            found = alphas[:, :-1, :, None] * arrivals[:, :-1, None, :]
        elif shape[0] > 1:
            found = (alphas.transpose(1, 2) @ arrivals).unsqueeze(1)
        else:
            found = alphas.flatten(0, 1).T @ arrivals.flatten(0, 1)
        # A factor of the padding may be NaN.
        found = torch.where(found == 0, 0.0, found * factors)[..., :tags, :tags]
        return found.sum(0, keepdim=True) if shape[1] > 1 and shape[0] == 1 else found


def posteriors(chain: Chain) -> Posteriors:
    if can_use_kernels(chain.scores):
        scaled, marginals, log_z = _by_kernels(chain)
        if scaled.alive.all():
            return Posteriors(marginals, log_z, scaled, _NONE, log_z, chain.lengths)
    with torch.no_grad(), torch.autocast(chain.scores.device.type, enabled=False):
        if not can_use_kernels(chain.scores):
            scaled, marginals, log_z = _by_torch(chain)
        dead = (~torch.as_tensor(scaled.alive)).nonzero().squeeze(1)
        transitions = log_z
        if len(dead):
            found, log_z[dead], transitions = _in_float64(chain.float64_rows(dead), chain.scores.dtype == torch.float32)
            marginals[dead], transitions = found.to(marginals.dtype), transitions.to(marginals.dtype)
    return Posteriors(marginals, log_z, scaled, dead, transitions, chain.lengths)


def _in_float64(chain: Chain, scaled_first: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Marginals, log Z and expected transitions (B, S, K, K); scaled if possible and ``scaled_first``."""
    if not scaled_first:
        return _in_log_domain(chain)
    scaled, marginals, log_z = _by_kernels(chain) if can_use_kernels(chain.scores) else _by_torch(chain)
    dead = (~torch.as_tensor(scaled.alive)).nonzero().squeeze(1)
    empty = log_z.new_zeros(0)
    found = Posteriors(marginals, log_z, scaled, dead[:0], empty, chain.lengths)
    transitions = found.expected_transitions(torch.ones_like(log_z), chain.transitions.shape)
    if len(dead):
        marginals[dead], log_z[dead], transitions[dead] = _in_log_domain(chain.float64_rows(dead))
    return marginals, log_z, transitions


def _in_log_domain(chain: Chain) -> tuple[Tensor, Tensor, Tensor]:
    if not can_use_kernels(chain.scores):
        with torch.enable_grad():
            parts = tuple(part.detach().clone().requires_grad_() for part in chain.weights)
            total = chain.recursion(LogSemiring(), parts)
            grads = torch.autograd.grad(total[torch.isfinite(total)].sum(), parts[:2], allow_unused=True)
        marginals, transitions = (torch.zeros_like(p) if g is None else g for p, g in zip(parts, grads, strict=False))
        return marginals, total.detach(), transitions
    from structseq.structures import kernels

    parts = chain.weights
    marginals, transitions = torch.empty_like(parts[0]), torch.empty_like(parts[1])
    log_z = parts[0].new_empty(len(parts[0]))
    arrays = [part.detach().contiguous().numpy() for part in parts]
    kernels.log_domain(*arrays, chain.lengths.numpy(), log_z.numpy(), marginals.numpy(), transitions.numpy())
    return marginals, log_z, transitions


def _by_kernels(chain: Chain) -> tuple[Scaled, Tensor, Tensor]:
    """Variables, marginals (B, T, K) and log Z (B,)."""
    from structseq.structures import kernels

    scores, transitions, start, end = arrays = chain.arrays()
    (rows, steps, tags), number, lengths = scores.shape, scores.dtype, chain.lengths.numpy()
    width = -(-tags // LANES) * LANES
    # One array for one call of exp; `kernels.views` returns its parts.
    size = width * (rows * steps + transitions.shape[0] * transitions.shape[1] * width + len(start) + len(end))
    exponents, (alphas, arrivals) = np.empty(size, number), np.empty((2, rows, steps, width), number)
    scales, marginals = np.empty((rows, steps + 1), number), np.empty(scores.shape, number)
    log_z, alive = np.empty(rows), np.empty(rows, bool)
    forbidden = kernels.subtract_maxima(*arrays, lengths, exponents, log_z)
    np.exp(exponents, out=exponents)
    limits = _LIMITS[chain.scores.dtype]
    written = (alphas, arrivals, scales, marginals, log_z, alive)
    kernels.forward_backward(*arrays, lengths, forbidden, exponents, *limits, *written)
    weights, factors, opening, closing = kernels.views.py_func(exponents, rows, steps, tags, transitions, start, end)
    scaled = Scaled(weights, factors, opening, closing, alphas, arrivals, scales, alive)
    return scaled, torch.from_numpy(marginals), torch.from_numpy(log_z)


def _log_prob_and_gradients(chain: Chain, target: Tensor) -> tuple[Tensor, list[Tensor]] | None:
    """(B,) log p of paths and its gradients; None if a row needs higher precision."""
    from structseq.structures import kernels

    total = path_scores(chain, target).numpy()
    scaled, marginals, log_z = _by_kernels(chain)
    if not scaled.alive.all():
        return None
    scores, transitions, _, _ = chain.arrays()
    few = transitions.shape[:2] == (1, 1) and scaled.alphas.shape[2] <= FEW
    shapes = (chain.transitions.shape, chain.start.shape, chain.end.shape)
    tables = [np.zeros(shape, scores.dtype) for shape in shapes]
    arrays = [np.empty(scores.shape, scores.dtype), *tables]
    views = (arrays[0], table_of(tables[0]), edge_of(tables[1]), edge_of(tables[2]))
    inputs = (scaled.alphas, scaled.arrivals, scaled.factors, few, target.numpy(), chain.lengths.numpy())
    kernels.likelihood_back(marginals.numpy(), *inputs, *views)
    gradients = [torch.from_numpy(part) for part in arrays]
    if not few:
        result = Posteriors(marginals, log_z, scaled, _NONE, log_z, chain.lengths)
        counts = result.expected_transitions(torch.ones(len(target), dtype=chain.scores.dtype), views[1].shape)
        gradients[1] -= counts.view(gradients[1].shape)
    # NumPy has less overhead than torch for small arrays.
    return torch.from_numpy(np.minimum(total - log_z.numpy(), 0).astype(scores.dtype)), gradients


def _by_torch(chain: Chain) -> tuple[Scaled, Tensor, Tensor]:
    parts = [part.detach() for part in chain.weights]
    scores, transitions, start, _ = parts
    (weights, scores_top), (factors, transitions_top), (start_factors, start_top), (end_factors, end_top) = (
        _exponential(part, dims) for part, dims in zip(parts, (1, 2, 1, 1), strict=True)
    )
    lengths, real = chain.lengths.to(scores.device), real_steps(scores, chain.lengths)
    least, most = ROOM[scores.dtype]
    reached = vectorised.reach(scores, transitions, start)
    alphas, scales, log_z, alive = vectorised.forward_scaled(
        weights, factors, start_factors, end_factors, reached, lengths, least
    )
    marginals, arrivals, alive = vectorised.backward_scaled(
        weights, factors, end_factors, lengths, most, alphas, scales, alive
    )
    transitions_shift = transitions_top.double().expand(-1, max(scores.shape[1] - 1, 0)) * real[:, 1:]
    shift = torch.where(real, scores_top.double(), 0.0).sum(1) + transitions_shift.sum(1)
    shift = shift + torch.where(lengths > 0, start_top.double() + end_top.double(), 0.0)
    alphas = torch.where(alive[:, None, None], alphas, 0.0)
    scaled = Scaled(weights, factors, start_factors, end_factors, alphas, arrivals, scales, alive)
    return scaled, marginals, log_z + shift


def _exponential(values: Tensor, dims: int) -> tuple[Tensor, Tensor]:
    """exp(values - maximum) over the last ``dims`` dimensions, and the maximum."""
    top = values.amax(tuple(range(-dims, 0)), keepdim=True)
    top = torch.where(torch.isfinite(top), top, torch.zeros_like(top))
    return torch.exp(values - top), top.flatten(-dims).squeeze(-1)


class LogPartition(torch.autograd.Function):
    """log Z with its closed-form gradient, the expected weight counts.

    ``parts`` are scores, transitions, start and end in the caller's shapes.
    """

    @staticmethod
    def forward(ctx: Any, chain: Chain, *parts: Tensor) -> Tensor:
        ctx.posteriors, ctx.like = chain.posteriors(), chain.with_weights
        ctx.save_for_backward(*parts)
        return ctx.posteriors.log_z.to(parts[0].dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # double backward: trace torch operations
            chain = ctx.like(ctx.saved_tensors)
            return (None, *_gradients(chain.recursion(LogSemiring(), chain.weights), ctx.saved_tensors, upstream))
        return (None, *expected_counts(ctx.posteriors, upstream, ctx.saved_tensors))


class LogProb(torch.autograd.Function):
    """log p of a path with its closed-form gradient, used minus expected weight counts.

    The forward pass computes it for an upstream gradient of 1; a sum or mean over rows only scales it.
    """

    @staticmethod
    def forward(ctx: Any, chain: Chain, target: Tensor, *parts: Tensor) -> Tensor:
        ctx.chain, ctx.gradients = chain, None
        ctx.save_for_backward(target, *parts)
        if any(ctx.needs_input_grad):
            result = _log_prob_and_gradients(chain, target)
            if result is not None:
                log_prob, ctx.gradients = result
                return log_prob
        total, log_z = path_scores(chain, target), chain.posteriors().log_z
        log_prob = torch.where(torch.isneginf(log_z), total, total - log_z).clamp(max=0)
        return log_prob.to(parts[0].dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        target, *parts = ctx.saved_tensors
        chain = ctx.chain
        if torch.is_grad_enabled():
            again = chain.with_weights(tuple(parts))
            total = again.path_score(target) - again.recursion(LogSemiring(), again.weights)
            return (None, None, *_gradients(total, parts, upstream))
        # Return them only once: autograd may write into them.
        ready, ctx.gradients = ctx.gradients, None
        if ready is not None and len(upstream):
            weights = upstream.numpy()
            weight = float(weights[0])
            if upstream.stride() == (0,) or bool((weights == weight).all()):
                return (None, None, *(ready if weight == 1 else [each * weight for each in ready]))
        found = expected_counts(chain.posteriors(), -upstream, parts)
        path_scores_back(upstream, target, chain.lengths, found)
        return (None, None, *found)


class PathScore(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, chain: Chain, target: Tensor, *parts: Tensor) -> Tensor:
        ctx.lengths, ctx.like = chain.lengths, chain.with_weights
        ctx.save_for_backward(target, *parts)
        return path_scores(chain, target).to(parts[0].dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        target, *parts = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (None, None, *_gradients(ctx.like(tuple(parts)).path_score(target), parts, upstream))
        found = [torch.zeros_like(part, memory_format=torch.contiguous_format) for part in parts]
        path_scores_back(upstream, target, ctx.lengths, found)
        return (None, None, *found)


def path_scores(chain: Chain, target: Tensor) -> Tensor:
    """(B,) float64 scores of paths ``target`` (B, T) int64; raises IndexError for a tag out of range."""
    from structseq.structures import kernels

    total = np.empty(len(target))
    row = kernels.path_scores(*chain.arrays(), target.numpy(), chain.lengths.numpy(), total)
    if row < len(target):
        tags = chain.scores.shape[2]
        path = target[row, : chain.lengths[row]].tolist()
        step, tag = next((t, tag) for t, tag in enumerate(path) if not 0 <= tag < tags)
        raise IndexError(f"expected tags from 0 to {tags - 1}, found {tag} in row {row} at step {step}")
    return torch.from_numpy(total)


def path_scores_back(upstream: Tensor, target: Tensor, lengths: Tensor, gradients: Sequence[Tensor]) -> None:
    """Add ``upstream`` (B,) to ``gradients`` for each weight that the paths use."""
    from structseq.structures import kernels

    scores, transitions, start, end = (part.numpy() for part in gradients)
    tables = table_of(transitions), edge_of(start), edge_of(end)
    kernels.path_scores_back(upstream.contiguous().numpy(), target.numpy(), lengths.numpy(), scores, *tables)


def expected_counts(found: Posteriors, upstream: Tensor, parts: Sequence[Tensor]) -> list[Tensor]:
    """Expected weight counts, weighted by ``upstream`` (B,), shaped as ``parts``."""
    marginals, lengths = found.marginals, found.lengths
    _, transitions, start, end = parts
    used = found.expected_transitions(upstream, table_of(transitions).shape).contiguous().view(transitions.shape)
    if can_use_kernels(marginals):
        from structseq.structures import kernels

        kind = marginals.numpy().dtype
        counted, opened, closed = (np.zeros(shape, kind) for shape in (marginals.shape, start.shape, end.shape))
        arrays = (upstream.contiguous().numpy(), marginals.numpy(), lengths.numpy())
        kernels.expected_back(*arrays, counted, edge_of(opened), edge_of(closed))
        return [torch.from_numpy(counted), used, torch.from_numpy(opened), torch.from_numpy(closed)]
    for_scores = marginals * upstream[:, None, None]
    rows = torch.arange(len(lengths), device=marginals.device)
    edges = for_scores[:, 0], for_scores[rows, (lengths.to(marginals.device) - 1).clamp(min=0)]
    ends = [
        (edge if len(edge_of(part)) > 1 else edge.sum(0, keepdim=True)).view(part.shape)
        for edge, part in zip(edges, (start, end), strict=True)
    ]
    return [for_scores, used, *ends]


def _gradients(total: Tensor, parts: Sequence[Tensor], upstream: Tensor) -> tuple[Tensor | None, ...]:
    wanted = [part for part in parts if part.requires_grad]
    found = iter(torch.autograd.grad(total, wanted, upstream, create_graph=True, materialize_grads=True))
    return tuple(next(found) if part.requires_grad else None for part in parts)


def table_of(transitions: Any) -> Any:
    """(1|B, 1|T-1, K, K) from transitions (K, K), (B, K, K) or (B, T-1, K, K)."""
    shape = tuple(transitions.shape)
    return transitions.reshape((1,) * (4 - len(shape)) + shape if len(shape) != 3 else (shape[0], 1, *shape[1:]))


def edge_of(values: Any) -> Any:
    """(1|B, K) from start or end scores (K,) or (B, K)."""
    return values if len(values.shape) == 2 else values.reshape(1, -1)
