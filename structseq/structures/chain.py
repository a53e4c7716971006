"""LinearChain: tag sequences scored by emissions, transitions, and start and end scores (Lafferty, McCallum and
Pereira 2001)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from structseq import compiling
from structseq.structures.base import Best, LogSum, Ranked, Semiring, Structure


class EdgePattern(NamedTuple):
    """Which edges open, continue and close a thing: all boolean; (K,) or (K, K) [from, to]. Made by `Scheme.edges`."""

    first: Any
    begins: Any
    continues: Any
    ends: Any
    last: Any


class Posteriors(NamedTuple):
    """What one forward-backward leaves behind, on the CPU."""

    marginals: Tensor  # (B, T, K)
    log_z: Tensor  # (B,) float64
    scaled: Scaled  # the recursion's own variables
    dead_edges: Tensor  # (R, K, K) expected transitions of the R rows that the scaled recursion could not hold


class Scaled(NamedTuple):
    """Variables of the scaled recursion in the chain's type; void where not alive."""

    weights: Tensor  # (B, T, K) exp(score - step maximum)
    factors: Tensor  # (K, K)
    last: Tensor  # (K,)
    alphas: Tensor  # (B, T, K)
    scales: Tensor  # (B, T+1)
    arrivals: Tensor  # (B, T, K)
    alive: Tensor  # (B,) bool


class LinearChain(Structure):
    """A distribution over tag sequences; p(y) is proportional to exp(score(y)).

    score(y) = start[y_1] + sum_t scores[t, y_t] + sum_t transitions[y_{t-1}, y_t] + end[y_L]

    Parameters
    ----------
    scores: (B, T, K)
        Emission scores in nats. Half precision is computed in float32.
    transitions: (K, K) [from, to]; start, end: (K,)
        ``-inf`` forbids: probability exactly 0, gradient exactly 0.
    lengths: (B,)
        True length of each row; what lies beyond is never read.
    calibrated:
        False when the scores were learned by a margin and are no log-probabilities.
    """

    def __init__(
        self,
        scores: Tensor,
        transitions: Tensor,
        start: Tensor,
        end: Tensor,
        lengths: Tensor,
        *,
        calibrated: bool = True,
    ) -> None:
        at_least = torch.promote_types(scores.dtype, torch.float32)
        self.scores = scores.to(at_least)
        self.transitions = transitions.to(at_least)
        self.start, self.end = start.to(at_least), end.to(at_least)
        if lengths.shape != scores.shape[:1] or (
            len(lengths) and not 0 <= int(lengths.min()) <= int(lengths.max()) <= scores.shape[1]
        ):
            rows, steps = scores.shape[:2]
            raise ValueError(f"expected {rows} lengths from 0 to {steps}, found {lengths.tolist()}")
        self.lengths = lengths
        self.calibrated = calibrated
        self._posteriors: Posteriors | None = None

    @property
    def fast(self) -> bool:
        """Whether the compiled kernels serve: float32 on the CPU, at least one step, Numba at hand."""
        scores = self.scores
        return (
            scores.device.type == "cpu"
            and scores.dtype == torch.float32
            and scores.numel() > 0
            and compiling.available()
        )

    # -- the definition -----------------------------------------------------------------------------------------------

    def path_score(self, target: Tensor) -> Tensor:
        """(B,) score of each row's ``target``, by torch's own operations; what `score` computes faster where it can."""
        real = self._real()
        tags = target.to(self.scores.device).masked_fill(~real, 0)
        each = self.scores.gather(-1, tags.unsqueeze(-1)).squeeze(-1)  # (B, T)
        total = torch.where(real, each, torch.zeros_like(each)).sum(1)
        if tags.shape[1] == 0:
            return total
        moves = self.transitions[tags[:, :-1], tags[:, 1:]]  # (B, T-1)
        total = total + torch.where(real[:, 1:], moves, torch.zeros_like(moves)).sum(1)
        lengths = self.lengths.to(tags.device)
        last = tags.gather(1, (lengths - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
        edges = self.start[tags[:, 0]] + self.end[last]
        return total + torch.where(lengths > 0, edges, torch.zeros_like(edges))

    def recursion(self, semiring: type[Semiring], scores: Tensor) -> Tensor:
        if scores.shape[1] == 0:
            return scores.new_zeros(scores.shape[0])
        # Padding is replaced before any arithmetic: a NaN times a zero mask would still be a NaN.
        real = self._real().unsqueeze(-1)
        scores = torch.where(real, scores, torch.zeros_like(scores))
        prefix = self.start + scores[:, 0]  # (B, K)
        for t in range(1, scores.shape[1]):
            onward = semiring.sum(prefix.unsqueeze(2) + self.transitions, 1) + scores[:, t]
            prefix = torch.where(real[:, t], onward, prefix)
        total = semiring.sum(prefix + self.end, 1)
        return torch.where(self.lengths.to(total.device) > 0, total, torch.zeros_like(total))

    # -- the same, fast -----------------------------------------------------------------------------------------------

    def log_partition(self) -> Tensor:
        if not self.fast:
            return super().log_partition()
        return _LogPartition.apply(self.scores, self.transitions, self.start, self.end, self)

    def score(self, target: Tensor) -> Tensor:
        if target.shape != self.scores.shape[:2]:
            raise ValueError(f"expected a target of shape {tuple(self.scores.shape[:2])}, found {tuple(target.shape)}")
        if not self.fast:
            return self.path_score(target)
        return _PathScore.apply(self.scores, self.transitions, self.start, self.end, target, self.lengths)

    def marginals(self) -> Tensor:
        if not self.fast:
            return super().marginals()
        return self.posteriors().marginals

    def best(self) -> Ranked:
        if not self.fast:
            return super().best()
        from structseq.structures import kernels

        scores = self.scores.detach().contiguous()
        paths = torch.empty(scores.shape[:2], dtype=torch.int64)
        best = torch.empty(scores.shape[0], dtype=torch.float64)
        chain = (self.transitions, self.start, self.end)
        arrays = [part.detach().contiguous().numpy() for part in chain]
        kernels.viterbi(scores.numpy(), *arrays, self.lengths.numpy(), paths.numpy(), best.numpy())
        return Ranked(paths, best.to(scores.dtype))

    def posteriors(self) -> Posteriors:
        """One scaled forward-backward, kept for the verbs that share it."""
        if self._posteriors is None:
            self._posteriors = _forward_backward(self)
        return self._posteriors

    def span_probabilities(self, spans: Sequence[tuple[int, int, int, int]], patterns: Sequence[EdgePattern]) -> Tensor:
        """Exact posterior probability of each span (row, start, end, kind); ``kind`` indexes ``patterns``.

        It is the total probability of all tag sequences whose edges open the thing at ``start``, continue it to
        ``end`` and close it there, neighbours included: P(the reading of the sequence holds exactly this span).
        Returns (S,) float64.
        """
        if not spans:
            return torch.zeros(0, dtype=torch.float64)
        lengths = self.lengths.tolist()
        for row, start, end, kind in spans:
            if not (0 <= row < len(lengths) and 0 <= start < end <= lengths[row] and 0 <= kind < len(patterns)):
                raise IndexError(
                    f"expected a span (row, start, end, kind) within its row, found {(row, start, end, kind)}"
                )
        if not self.fast:
            return self._derived_span_probabilities(spans, patterns)
        from structseq.structures import kernels

        scaled = self.posteriors().scaled
        place = np.asarray(spans, dtype=np.int64)
        stacked = [np.stack([np.asarray(getattr(p, name)) for p in patterns]) for name in EdgePattern._fields]
        first, begins, continues, closes, final = stacked
        out = np.zeros(len(spans))
        known = [getattr(scaled, n).numpy() for n in ("alphas", "arrivals", "weights", "scales", "factors", "last")]
        kernels.span_probabilities(
            *known, self.lengths.numpy(), *np.ascontiguousarray(place.T), first, begins, continues, closes, final, out
        )
        dead = ~scaled.alive.numpy()[place[:, 0]]
        if dead.any():
            again = [spans[s] for s in np.flatnonzero(dead).tolist()]
            out[dead] = self._derived_span_probabilities(again, patterns).numpy()
        return torch.from_numpy(np.clip(out, 0.0, 1.0))

    def _derived_span_probabilities(
        self, spans: Sequence[tuple[int, int, int, int]], patterns: Sequence[EdgePattern]
    ) -> Tensor:
        """The definition, in logarithms and float64: spans of one row share the sums before and behind them."""
        device = self.scores.device
        tables = [EdgePattern(*(torch.as_tensor(part, device=device) for part in pattern)) for pattern in patterns]
        found: dict[int, _RowSums] = {}
        answers = []
        with torch.no_grad():
            for row, start, end, kind in spans:
                if row not in found:
                    found[row] = _RowSums.of(self.rows(torch.tensor([row])))
                answers.append(found[row].span(start, end, tables[kind]))
        return torch.stack(answers).exp().cpu()

    def with_scores(self, scores: Tensor) -> LinearChain:
        """The same chain over other emission scores (B, T, K)."""
        return LinearChain(scores, self.transitions, self.start, self.end, self.lengths, calibrated=self.calibrated)

    def rows(self, chosen: Tensor) -> LinearChain:
        """The chain of the rows ``chosen`` (R,), in float64 and without gradients."""
        scores = self.scores.detach()[chosen].double()
        moves, start, end = (part.detach().double() for part in (self.transitions, self.start, self.end))
        return LinearChain(scores, moves, start, end, self.lengths[chosen], calibrated=self.calibrated)

    def reached(self) -> np.ndarray:
        """(R, K) which tags a legal path leads to at step 0, 1, ..; the last row holds for all later steps."""
        moves = ~torch.isneginf(self.transitions.detach())
        rows = [~torch.isneginf(self.start.detach())]
        while len(rows) < self.scores.shape[1]:
            rows.append((rows[-1].unsqueeze(1) & moves).any(0))
            if len(rows) > 2 * len(moves) or rows[-1].equal(rows[-2]):
                break
        else:
            return torch.stack(rows).numpy()
        # Where the tags reached alternate without end, every one of them counts at every later step.
        if not rows[-1].equal(rows[-2]):
            rows.append(torch.stack(rows).any(0))
        return torch.stack(rows).numpy()

    def _real(self) -> Tensor:
        steps = torch.arange(self.scores.shape[1], device=self.scores.device)
        return steps < self.lengths.to(self.scores.device).unsqueeze(1)


class _RowSums(NamedTuple):
    """Log sums over the paths of one row, in float64: up to each step, and from each step on."""

    chain: LinearChain  # the row's own, B = 1
    before: list[Tensor]  # (K,) for each step: all paths that end there in a tag, its score included
    behind: list[Tensor]  # (K,) for each step: all that follows a tag, its score not included
    total: Tensor  # () log Z

    @staticmethod
    def of(chain: LinearChain) -> _RowSums:
        scores, moves = chain.scores[0, : int(chain.lengths[0])], chain.transitions
        before, behind = [chain.start + scores[0]], [chain.end]
        for step in scores[1:]:
            before.append(LogSum.sum(before[-1].unsqueeze(1) + moves, 0) + step)
        for step in scores[1:].flip(0):
            behind.append(LogSum.sum(moves + (step + behind[-1]), 1))
        return _RowSums(chain, before, behind[::-1], LogSum.sum(before[-1] + chain.end, 0))

    def span(self, start: int, end: int, pattern: EdgePattern) -> Tensor:
        """() log-probability that a thing opens at ``start``, goes on to ``end`` and closes there."""
        scores, moves = self.chain.scores[0], self.chain.transitions
        if start == 0:
            here = self.before[0].masked_fill(~pattern.first, -torch.inf)
        else:
            opening = moves.masked_fill(~pattern.begins, -torch.inf)
            here = LogSum.sum(self.before[start - 1].unsqueeze(1) + opening, 0) + scores[start]
        onward = moves.masked_fill(~pattern.continues, -torch.inf)
        for t in range(start + 1, end):
            here = LogSum.sum(here.unsqueeze(1) + onward, 0) + scores[t]
        if end == len(self.before):
            closed = here + self.chain.end.masked_fill(~pattern.last, -torch.inf)
        else:
            leaving = moves.masked_fill(~pattern.ends, -torch.inf)
            closed = (here.unsqueeze(1) + leaving + (scores[end] + self.behind[end])).flatten()
        return LogSum.sum(closed, 0) - self.total


def _forward_backward(chain: LinearChain) -> Posteriors:
    """Forward-backward on a chain for which `LinearChain.fast` holds: scaled in float32, what that cannot hold in
    float64, and what that cannot hold in logarithms."""
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        scaled, marginals, log_z = _scaled(chain)
        edges = torch.zeros(0, *chain.transitions.shape)
        dead = (~scaled.alive).nonzero().squeeze(1)
        if len(dead):
            marginals[dead], log_z[dead], edges = _in_double(chain.rows(dead))
    return Posteriors(marginals, log_z, scaled, edges)


def _in_double(chain: LinearChain) -> tuple[Tensor, Tensor, Tensor]:
    """Marginals, log Z and expected transitions of the rows of a float64 chain; marginals and transitions in
    float32."""
    from structseq.structures import kernels

    scaled, marginals, log_z = _scaled(chain)
    arrivals = scaled.arrivals[:, 1:]
    edges = _real_alphas(scaled, chain.lengths)[:, :-1].transpose(1, 2) @ arrivals * scaled.factors
    dead = (~scaled.alive).nonzero().squeeze(1)
    if len(dead):
        scores, lengths = chain.scores[dead], chain.lengths[dead]
        parts = [part.contiguous().numpy() for part in (chain.transitions, chain.start, chain.end)]
        total, found, moves = log_z[dead], torch.empty_like(scores), edges[dead]
        kernels.log_domain(scores.numpy(), *parts, lengths.numpy(), total.numpy(), found.numpy(), moves.numpy())
        marginals[dead], log_z[dead], edges[dead] = found, total, moves
    return marginals.float(), log_z, edges.float()


def _scaled(chain: LinearChain) -> tuple[Scaled, Tensor, Tensor]:
    """The scaled recursion in the chain's own type: its variables, marginals (B, T, K) and log Z (B,) float64."""
    from structseq.structures import kernels

    scores, lengths, kind = chain.scores.detach().contiguous(), chain.lengths, chain.scores.dtype
    top = scores.amax(-1, keepdim=True)
    top = torch.where(torch.isfinite(top), top, torch.zeros_like(top))
    weights = torch.exp(scores - top)
    factors, moved = _exponentials(chain.transitions)
    first, opened = _exponentials(chain.start)
    last, closed = _exponentials(chain.end)
    rows, steps, _ = scores.shape
    alphas, marginals, arrivals = (torch.empty_like(weights) for _ in range(3))
    scales = torch.empty(rows, steps + 1, dtype=kind)
    log_z = torch.empty(rows, dtype=torch.float64)
    alive = torch.empty(rows, dtype=torch.bool)
    # Beside the smallest number there must be room for the precision of what is kept.
    least, most = torch.tensor([1e-30, 1e36] if kind == torch.float32 else [1e-290, 1e300], dtype=kind).numpy()
    w, f, z, n = weights.numpy(), factors.numpy(), last.numpy(), lengths.numpy()
    a, s, ok = alphas.numpy(), scales.numpy(), alive.numpy()
    kernels.forward_scaled(scores.numpy(), w, f, first.numpy(), z, chain.reached(), n, least, a, s, log_z.numpy(), ok)
    kernels.backward_scaled(w, f, z, n, most, a, s, ok, marginals.numpy(), arrivals.numpy())
    # Shifts go back in float64; padding may be NaN, so it is replaced rather than multiplied away.
    peaks = torch.where(chain._real(), top.squeeze(-1), torch.zeros((), dtype=kind)).sum(1, dtype=torch.float64)
    shift = peaks + opened + closed + moved * (lengths - 1)
    log_z = torch.where(lengths > 0, log_z + shift, torch.zeros((), dtype=torch.float64))
    return Scaled(weights, factors, last, alphas, scales, arrivals, alive), marginals, log_z


def _real_alphas(scaled: Scaled, lengths: Tensor) -> Tensor:
    """Forward variables with zeros where they were never written: 0 times what happens to lie in memory may be NaN."""
    real = (torch.arange(scaled.alphas.shape[1]) < lengths.unsqueeze(1)) & scaled.alive.unsqueeze(1)
    return torch.where(real.unsqueeze(-1), scaled.alphas, torch.zeros((), dtype=scaled.alphas.dtype))


def _exponentials(values: Tensor) -> tuple[Tensor, float]:
    """exp(values - maximum) and the maximum; a table that is -inf throughout is left at zero."""
    values = values.detach()
    top = values.max()
    top = top if bool(torch.isfinite(top)) else torch.zeros_like(top)
    return torch.exp(values - top).contiguous(), float(top)


class _LogPartition(torch.autograd.Function):
    """log Z with its closed-form gradient: the marginals of tags and of edges."""

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, transitions: Tensor, start: Tensor, end: Tensor, chain: LinearChain
    ) -> Tensor:
        posteriors = chain.posteriors()
        ctx.posteriors, ctx.lengths = posteriors, chain.lengths
        ctx.save_for_backward(scores, transitions, start, end)
        return posteriors.log_z.to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # the gradient itself is to be differentiated: torch's own operations can be
            scores, transitions, start, end = ctx.saved_tensors
            return _derived_gradients(scores, transitions, start, end, ctx.lengths, upstream)
        with torch.autocast("cpu", enabled=False):
            return _LogPartition.gradients(ctx.posteriors, ctx.lengths, upstream)

    @staticmethod
    def gradients(posteriors: Posteriors, lengths: Tensor, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Expected counts, each row weighted by ``upstream`` (B,)."""
        marginals, _, scaled, dead_edges = posteriors
        for_scores = marginals * upstream[:, None, None]
        departures = _real_alphas(scaled, lengths) * upstream[:, None, None]
        tags = departures.shape[2]
        edges = departures[:, :-1].reshape(-1, tags).T @ scaled.arrivals[:, 1:].reshape(-1, tags)
        for_transitions = edges * scaled.factors
        if len(dead_edges):
            for_transitions = for_transitions + torch.einsum("r,rij->ij", upstream[~scaled.alive], dead_edges)
        final = for_scores[torch.arange(len(lengths)), (lengths - 1).clamp(min=0)]
        return for_scores, for_transitions, for_scores[:, 0].sum(0), final.sum(0), None


def _derived_gradients(
    scores: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor, upstream: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradients of log Z as functions that can be differentiated once more."""
    chain = LinearChain(scores, transitions, start, end, lengths)
    parts = (scores, transitions, start, end)
    wanted = [part for part in parts if part.requires_grad]
    found = iter(
        torch.autograd.grad(
            chain.recursion(LogSum, scores), wanted, upstream, create_graph=True, materialize_grads=True
        )
    )
    return (*(next(found) if part.requires_grad else None for part in parts), None)


class _PathScore(torch.autograd.Function):
    """`LinearChain.path_score` by the compiled kernels."""

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, transitions: Tensor, start: Tensor, end: Tensor, target: Tensor, lengths: Tensor
    ) -> Tensor:
        from structseq.structures import kernels

        target = target.to(torch.int64).contiguous()
        _check_tags(target, lengths, scores.shape[2])
        total = torch.empty(scores.shape[0], dtype=torch.float64)
        arrays = [part.detach().contiguous().numpy() for part in (scores, transitions, start, end)]
        kernels.path_scores(*arrays, target.numpy(), lengths.numpy(), total.numpy())
        ctx.save_for_backward(target, lengths)
        ctx.shape = scores.shape
        return total.to(scores.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        from structseq.structures import kernels

        target, lengths = ctx.saved_tensors
        tags = ctx.shape[2]
        parts = (torch.zeros(ctx.shape), torch.zeros(tags, tags), torch.zeros(tags), torch.zeros(tags))
        arrays = [part.numpy() for part in parts]
        kernels.path_scores_back(upstream.contiguous().numpy(), target.numpy(), lengths.numpy(), *arrays)
        return (*parts, None, None)


def _check_tags(target: Tensor, lengths: Tensor, tags: int) -> None:
    """Compiled code does not look where it reads: tags out of range must be found before."""
    real = torch.arange(target.shape[1]) < lengths.unsqueeze(1)
    wrong = real & ((target < 0) | (target >= tags))
    if bool(wrong.any()):
        row, step = (int(i) for i in wrong.nonzero()[0])
        found = int(target[row, step])
        raise IndexError(f"expected tags from 0 to {tags - 1}, found {found} in row {row} at step {step}")


__all__ = ["Best", "EdgePattern", "LinearChain", "Posteriors"]
