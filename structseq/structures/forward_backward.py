"""Forward-backward on a chain, its closed-form gradient, and the fall back to wider numbers where a row needs them.

The recursion runs scaled in the scores' own type (`kernels` on the CPU, `vectorised` elsewhere); rows in which a tag
that can be reached comes near the end of float32's range again in float64; and what that cannot hold, in logarithms.
The gradient of log Z is written down, not traced: it is the expected number of times each weight is used, which the
recursion has at hand, so that memory is B T K instead of the B T K^2 of a traced one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn, Protocol

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
# Up to so many tags a loop counts moves faster than a product of matrices starts.
FEW = 32
_NONE = torch.zeros(0, dtype=torch.int64)


def serves(scores: Tensor) -> bool:
    """Whether the compiled kernels serve: float32 or float64 on the CPU, something to do, Numba at hand."""
    return scores.device.type == "cpu" and scores.dtype in ROOM and scores.numel() > 0 and compiling.available()


class Chain(Protocol):
    """What is needed of a chain: its weights in the shapes of `LinearChain.weights`, and its definition."""

    scores: Tensor
    transitions: Tensor
    start: Tensor
    end: Tensor
    lengths: Tensor

    @property
    def moves(self) -> Tensor: ...

    @property
    def weights(self) -> tuple[Tensor, ...]: ...

    def with_weights(self, weights: tuple[Tensor, ...]) -> Chain: ...

    def rows(self, chosen: Tensor) -> Chain: ...

    def posteriors(self) -> Posteriors: ...

    def arrays(self) -> list[np.ndarray]: ...

    def path_score(self, target: Tensor) -> Tensor: ...

    def recursion(self, semiring: Semiring, weights: tuple[Tensor, ...]) -> Tensor: ...


class Scaled(NamedTuple):
    """Variables of the scaled recursion, as tensors, or as arrays where the kernels made them; W is K, or K rounded up
    with zeros. Zero where a row is not alive."""

    weights: Any  # (B, T, W) exp(score - step maximum)
    factors: Any  # (R, S, W, W)
    first: Any  # (Q, W)
    last: Any  # (Q, W)
    alphas: Any  # (B, T, W)
    arrivals: Any  # (B, T, W) out of each step
    scales: Any  # (B, T+1)
    alive: Any  # (B,) bool


class Posteriors(NamedTuple):
    """What one forward-backward leaves behind."""

    marginals: Any  # (B, T, K)
    log_z: Any  # (B,) float64
    scaled: Scaled
    dead: Tensor  # (D,) rows that the scaled recursion could not hold
    dead_moves: Any  # (D, S, K, K) their expected moves; S is 1 or T-1, as in the chain's own table
    lengths: Tensor  # (B,)

    def expected_moves(self, upstream: Tensor, shape: torch.Size) -> Tensor:
        """Expected number of each move, rows weighted by ``upstream`` (B,): as the chain's table of ``shape``
        (R, S, K, K), rows and steps added up where the table has one for all."""
        if torch.is_autocast_enabled(upstream.device.type):  # a product of matrices must not lose digits
            with torch.autocast(upstream.device.type, enabled=False):
                return self.expected_moves(upstream, shape)
        scaled, tags = self.scaled, shape[-1]
        if shape[:2] == (1, 1) and isinstance(scaled.alphas, np.ndarray) and scaled.alphas.shape[2] <= FEW:
            found = self._few(upstream, tags)
        else:
            found = self._many(upstream, shape)
        if len(self.dead):
            lost = self.dead_moves * upstream[self.dead][:, None, None, None]
            rows = self.dead if shape[0] > 1 else torch.zeros_like(self.dead)
            found = found.index_add(0, rows, lost)
        return found

    def _few(self, upstream: Tensor, tags: int) -> Tensor:
        """(1, 1, K, K) for one table of few tags."""
        from structseq.structures import kernels

        scaled = self.scaled
        out = np.empty((1, 1, tags, tags), scaled.alphas.dtype)
        kernels.expected_moves(
            upstream.contiguous().numpy(), scaled.alphas, scaled.arrivals, scaled.factors[0, 0], self.lengths.numpy(),
            out[0, 0],
        )  # fmt: skip
        return torch.from_numpy(out)

    def _many(self, upstream: Tensor, shape: torch.Size) -> Tensor:
        """The same by products of matrices, for tables of any shape."""
        scaled, tags = self.scaled, shape[-1]
        alphas, factors = torch.as_tensor(scaled.alphas), torch.as_tensor(scaled.factors)
        arrivals = torch.as_tensor(scaled.arrivals) * upstream[:, None, None]
        if shape[1] > 1:
            found = alphas[:, :-1, :, None] * arrivals[:, :-1, None, :]
        elif shape[0] > 1:
            found = (alphas.transpose(1, 2) @ arrivals).unsqueeze(1)
        else:
            found = alphas.flatten(0, 1).T @ arrivals.flatten(0, 1)
        # Between padding a factor may be no number.
        found = torch.where(found == 0, 0.0, found * factors)[..., :tags, :tags]
        return found.sum(0, keepdim=True) if shape[1] > 1 and shape[0] == 1 else found


def posteriors(chain: Chain) -> Posteriors:
    """Forward-backward over the rows of ``chain``, without gradients."""
    if serves(chain.scores):
        scaled, marginals, log_z = _compiled(chain)
        if scaled.alive.all():
            return Posteriors(marginals, log_z, scaled, _NONE, log_z, chain.lengths)
    with torch.no_grad(), torch.autocast(chain.scores.device.type, enabled=False):
        if not serves(chain.scores):
            scaled, marginals, log_z = _by_torch(chain)
        dead = (~torch.as_tensor(scaled.alive)).nonzero().squeeze(1)
        moves = log_z
        if len(dead):
            found, log_z[dead], moves = _wider(chain.rows(dead), chain.scores.dtype == torch.float32)
            marginals[dead], moves = found.to(marginals.dtype), moves.to(marginals.dtype)
    return Posteriors(marginals, log_z, scaled, dead, moves, chain.lengths)


def _wider(chain: Chain, again: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Marginals, log Z and expected moves (B, S, K, K) of a float64 chain that has a table for each row: scaled
    (``again``), then in logarithms."""
    if not again:
        return _in_logarithms(chain)
    scaled, marginals, log_z = _compiled(chain) if serves(chain.scores) else _by_torch(chain)
    dead = (~torch.as_tensor(scaled.alive)).nonzero().squeeze(1)
    nothing = log_z.new_zeros(0)
    found = Posteriors(marginals, log_z, scaled, dead[:0], nothing, chain.lengths)
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


class _Room(NamedTuple):
    """Arrays for one call of the kernels, which fill them."""

    exponents: np.ndarray
    alphas: np.ndarray
    arrivals: np.ndarray
    scales: np.ndarray
    marginals: np.ndarray
    log_z: np.ndarray
    alive: np.ndarray

    @staticmethod
    def of(scores: np.ndarray, moves: np.ndarray, start: np.ndarray, end: np.ndarray) -> _Room:
        rows, steps, tags = scores.shape
        width, number = -(-tags // LANES) * LANES, scores.dtype
        # One exponential for everything: what `kernels.parted` parts lies end to end.
        size = width * (rows * steps + moves.shape[0] * moves.shape[1] * width + len(start) + len(end))
        alphas, arrivals = np.empty((2, rows, steps, width), number)
        return _Room(
            np.empty(size, number), alphas, arrivals, np.empty((rows, steps + 1), number),
            np.empty(scores.shape, number), np.empty(rows), np.empty(rows, bool),
        )  # fmt: skip

    def started(self, chain: Chain) -> tuple[Any, ...]:
        """What `kernels.solved` wants behind the chain's own arrays, the exponentials taken."""
        from structseq.structures import kernels

        lengths = chain.lengths.numpy()
        forbidden = kernels.shifted(*chain.arrays(), lengths, self.exponents, self.log_z)
        np.exp(self.exponents, out=self.exponents)
        return (forbidden, self.exponents, *_LIMITS[chain.scores.dtype], *self[1:])

    def scaled(self, chain: Chain) -> Scaled:
        from structseq.structures import kernels

        scores, *tables = chain.arrays()
        weights, factors, first, last = kernels.parted.py_func(self.exponents, *scores.shape, *tables)
        return Scaled(weights, factors, first, last, self.alphas, self.arrivals, self.scales, self.alive)


def _compiled(chain: Chain) -> tuple[Scaled, Tensor, Tensor]:
    from structseq.structures import kernels

    arrays = chain.arrays()
    room = _Room.of(*arrays)
    kernels.solved(*arrays, chain.lengths.numpy(), *room.started(chain))
    return room.scaled(chain), torch.from_numpy(room.marginals), torch.from_numpy(room.log_z)


def _learned(chain: Chain, target: Tensor) -> tuple[Tensor, list[Tensor]] | None:
    """(B,) log p of paths, and its gradients with rows counting once, in one call of the kernels.
    None where a row needs wider numbers."""
    from structseq.structures import kernels

    scores, moves, *_ = arrays = chain.arrays()
    total = path_scores(chain, target).numpy()
    room, lengths = _Room.of(*arrays), chain.lengths.numpy()
    kernels.solved(*arrays, lengths, *room.started(chain))
    if not room.alive.all():
        return None
    few = moves.shape[:2] == (1, 1) and room.alphas.shape[2] <= FEW
    shapes = (chain.transitions.shape, chain.start.shape, chain.end.shape)
    tables = [np.zeros(shape, scores.dtype) for shape in shapes]
    found = [np.empty(scores.shape, scores.dtype), *tables]
    seen = (found[0], table_of(tables[0]), edge_of(tables[1]), edge_of(tables[2]))
    scaled = room.scaled(chain)
    kernels.likelihood_back(
        room.marginals, scaled.alphas, scaled.arrivals, scaled.factors, few, target.numpy(), lengths, *seen
    )
    gradients = [torch.from_numpy(part) for part in found]
    if not few:
        known = Posteriors(room.marginals, room.log_z, scaled, _NONE, room.log_z, chain.lengths)
        counts = known.expected_moves(torch.ones(len(target), dtype=chain.scores.dtype), table_of(tables[0]).shape)
        gradients[1] -= counts.view(gradients[1].shape)
    # numpy rounds in a tenth of the time that torch needs to begin.
    return torch.from_numpy(np.minimum(total - room.log_z, 0).astype(scores.dtype)), gradients


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
    """log Z with its closed-form gradient: the expected number of times each weight is used.

    Here and below ``parts`` are scores, transitions, start and end as the caller shaped them.
    """

    @staticmethod
    def forward(ctx: Any, chain: Chain, *parts: Tensor) -> Tensor:
        ctx.posteriors, ctx.like = chain.posteriors(), chain.with_weights
        ctx.save_for_backward(*parts)
        return ctx.posteriors.log_z.to(parts[0].dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # the gradient itself is to be differentiated: torch's own operations can be
            chain = ctx.like(ctx.saved_tensors)
            return (None, *_gradients(chain.recursion(LogSum(), chain.weights), ctx.saved_tensors, upstream))
        return (None, *expected_counts(ctx.posteriors, upstream, ctx.saved_tensors))


class LogProb(torch.autograd.Function):
    """log p of a path, with its closed-form gradient: what the path uses less what is expected.

    Where a gradient will be asked for it is worked out at once, in the same sweep, for rows that count once each: a
    loss that adds rows up wants no more, and one that averages them wants it scaled.
    """

    @staticmethod
    def forward(ctx: Any, chain: Chain, target: Tensor, *parts: Tensor) -> Tensor:
        ctx.chain, ctx.gradients = chain, None
        ctx.save_for_backward(target, *parts)
        if any(ctx.needs_input_grad):
            known = _learned(chain, target)
            if known is not None:
                found, ctx.gradients = known
                return found
        total, log_z = path_scores(chain, target), chain.posteriors().log_z
        found = torch.where(torch.isneginf(log_z), total, total - log_z).clamp(max=0)
        return found.to(parts[0].dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        target, *parts = ctx.saved_tensors
        chain = ctx.chain
        if torch.is_grad_enabled():
            again = chain.with_weights(tuple(parts))
            total = again.path_score(target) - again.recursion(LogSum(), again.weights)
            return (None, None, *_gradients(total, parts, upstream))
        # They are given away: whoever gets them may write into them.
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
    """Score of a path by the compiled kernels."""

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
    """(B,) float64 scores of paths ``target`` (B, T) int64, by the kernel; raises IndexError for a tag out of range."""
    from structseq.structures import kernels

    total = np.empty(len(target))
    row = kernels.path_scores(*chain.arrays(), target.numpy(), chain.lengths.numpy(), total)
    if row < len(target):
        _refuse(chain, target, row)
    return torch.from_numpy(total)


def _refuse(chain: Chain, target: Tensor, row: int) -> NoReturn:
    """Raise IndexError for the first tag of ``row`` that is none."""
    tags = chain.scores.shape[2]
    wrong = [(t, tag) for t, tag in enumerate(target[row, : chain.lengths[row]].tolist()) if not 0 <= tag < tags]
    step, found = wrong[0]
    raise IndexError(f"expected tags from 0 to {tags - 1}, found {found} in row {row} at step {step}")


def path_scores_back(upstream: Tensor, target: Tensor, lengths: Tensor, gradients: Sequence[Tensor]) -> None:
    """Adds ``upstream`` (B,) to ``gradients`` wherever the paths' scores were read."""
    from structseq.structures import kernels

    scores, transitions, start, end = (part.numpy() for part in gradients)
    moves, first, last = table_of(transitions), edge_of(start), edge_of(end)
    kernels.path_scores_back(upstream.contiguous().numpy(), target.numpy(), lengths.numpy(), scores, moves, first, last)


def expected_counts(found: Posteriors, upstream: Tensor, parts: Sequence[Tensor]) -> list[Tensor]:
    """Expected number of times each weight is used, rows weighted by ``upstream`` (B,), shaped as ``parts``."""
    marginals, lengths = found.marginals, found.lengths
    _, transitions, start, end = parts
    for_moves = found.expected_moves(upstream, table_of(transitions).shape).contiguous().view(transitions.shape)
    if serves(marginals):
        from structseq.structures import kernels

        kind = marginals.numpy().dtype
        counted, opened, closed = (np.zeros(shape, kind) for shape in (marginals.shape, start.shape, end.shape))
        arrays = (upstream.contiguous().numpy(), marginals.numpy(), lengths.numpy())
        kernels.expected_back(*arrays, counted, edge_of(opened), edge_of(closed))
        return [torch.from_numpy(counted), for_moves, torch.from_numpy(opened), torch.from_numpy(closed)]
    for_scores = marginals * upstream[:, None, None]
    rows = torch.arange(len(lengths), device=marginals.device)
    edges = for_scores[:, 0], for_scores[rows, (lengths.to(marginals.device) - 1).clamp(min=0)]
    ends = [
        (edge if len(edge_of(part)) > 1 else edge.sum(0, keepdim=True)).view(part.shape)
        for edge, part in zip(edges, (start, end), strict=True)
    ]
    return [for_scores, for_moves, *ends]


def _gradients(total: Tensor, parts: Sequence[Tensor], upstream: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of ``total`` (B,) by torch's own operations, which can be differentiated once more."""
    wanted = [part for part in parts if part.requires_grad]
    found = iter(torch.autograd.grad(total, wanted, upstream, create_graph=True, materialize_grads=True))
    return tuple(next(found) if part.requires_grad else None for part in parts)


def table_of(transitions: Any) -> Any:
    """(1|B, 1|T-1, K, K) from transitions (K, K), (B, K, K) or (B, T-1, K, K); of tensors and arrays alike."""
    shape = tuple(transitions.shape)
    return transitions.reshape((1,) * (4 - len(shape)) + shape if len(shape) != 3 else (shape[0], 1, *shape[1:]))


def edge_of(values: Any) -> Any:
    """(1|B, K) from start or end scores (K,) or (B, K); of tensors and arrays alike."""
    return values if len(values.shape) == 2 else values.reshape(1, -1)
