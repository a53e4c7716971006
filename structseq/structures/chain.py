"""LinearChain: tag sequences scored by emissions, transitions, and start and end scores (Lafferty, McCallum and Pereira 2001)."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from structseq.structures.base import Best, LogSum, Ranked, Semiring, Structure


def compiled_available() -> bool:
    """Whether Numba can be had here; without it the torch path answers everything."""
    return importlib.util.find_spec("numba") is not None


class EdgePattern(NamedTuple):
    """Which edges open, continue and close a thing: all boolean; (K,) or (K, K) [from, to]. Made by `Scheme.edges`."""

    first: Any
    begins: Any
    continues: Any
    ends: Any
    last: Any


class Posteriors(NamedTuple):
    """What one scaled forward-backward leaves behind; all in float32 on the CPU."""

    weights: Tensor  # (B, T, K) exp(score - step maximum)
    factors: Tensor  # (K, K)
    last: Tensor  # (K,)
    alphas: Tensor  # (B, T, K)
    scales: Tensor  # (B, T+1)
    marginals: Tensor  # (B, T, K)
    arrivals: Tensor  # (B, T, K)
    log_z: Tensor  # (B,) float64
    alive: Tensor  # (B,) bool: False where the row underflowed and nothing above holds


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
        self, scores: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor, *, calibrated: bool = True
    ) -> None:
        at_least = torch.promote_types(scores.dtype, torch.float32)
        self.scores = scores.to(at_least)
        self.transitions = transitions.to(at_least)
        self.start, self.end = start.to(at_least), end.to(at_least)
        self.lengths = lengths
        self.calibrated = calibrated
        self._posteriors: Posteriors | None = None

    @property
    def fast(self) -> bool:
        """Whether the compiled kernels serve: float32 on the CPU, at least one step, Numba at hand."""
        scores = self.scores
        return scores.device.type == "cpu" and scores.dtype == torch.float32 and scores.numel() > 0 and compiled_available()

    # -- the definition -----------------------------------------------------------------------------------------------

    def score(self, target: Tensor) -> Tensor:
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
        return _ScaledLogPartition.apply(self.scores, self.transitions, self.start, self.end, self)

    def marginals(self) -> Tensor:
        if not self.fast:
            return super().marginals()
        posteriors = self.posteriors()
        marginals = posteriors.marginals
        if not bool(posteriors.alive.all()):
            dead = ~posteriors.alive
            marginals = marginals.clone()
            marginals[dead] = self._rows(dead)._gradient(LogSum).to(marginals.dtype)
        return marginals

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

    def span_probabilities(
        self, spans: Sequence[tuple[int, int, int, int]], patterns: Sequence[EdgePattern]
    ) -> Tensor:
        """Exact posterior probability of each span (row, start, end, kind); ``kind`` indexes ``patterns``.

        It is the total probability of all tag sequences whose edges open the thing at ``start``, continue it to ``end`` and
        close it there, neighbours included: P(the reading of the sequence holds exactly this span). Returns (S,) float64.
        """
        if not spans:
            return torch.zeros(0, dtype=torch.float64)
        if not self.fast:
            return self._derived_span_probabilities(spans, patterns)
        import numpy as np

        from structseq.structures import kernels

        posteriors = self.posteriors()
        place = np.asarray(spans, dtype=np.int64)
        stacked = [np.stack([np.asarray(getattr(p, name)) for p in patterns]) for name in EdgePattern._fields]
        first, begins, continues, closes, final = stacked
        out = np.zeros(len(spans))
        known = [getattr(posteriors, n).numpy() for n in ("alphas", "arrivals", "weights", "scales", "factors", "last")]
        kernels.span_probabilities(
            *known, self.lengths.numpy(), *np.ascontiguousarray(place.T), first, begins, continues, closes, final, out
        )
        dead = ~posteriors.alive.numpy()[place[:, 0]]
        if dead.any():
            again = [spans[s] for s in np.flatnonzero(dead)]
            out[dead] = self._derived_span_probabilities(again, patterns).numpy()
        return torch.from_numpy(np.clip(out, 0.0, 1.0))

    def _derived_span_probabilities(
        self, spans: Sequence[tuple[int, int, int, int]], patterns: Sequence[EdgePattern]
    ) -> Tensor:
        """The definition, one span at a time: log Z over the paths that satisfy the pattern, less log Z."""
        answers = []
        with torch.no_grad():
            for row, start, end, kind in spans:
                length = int(self.lengths[row])
                scores = self.scores[row, :length].double()
                moves = self.transitions.double().expand(max(length - 1, 0), -1, -1)
                opening, closing = self.start.double(), self.end.double()
                free = _path_sum(scores, moves, opening, closing)
                p = EdgePattern(*(torch.as_tensor(part, device=scores.device) for part in patterns[kind]))
                moves = moves.clone()
                if start == 0:
                    opening = opening.masked_fill(~p.first, -torch.inf)
                else:
                    moves[start - 1].masked_fill_(~p.begins, -torch.inf)
                for t in range(start, end - 1):
                    moves[t].masked_fill_(~p.continues, -torch.inf)
                if end == length:
                    closing = closing.masked_fill(~p.last, -torch.inf)
                else:
                    moves[end - 1].masked_fill_(~p.ends, -torch.inf)
                answers.append((_path_sum(scores, moves, opening, closing) - free).exp())
        return torch.stack(answers).cpu()

    def _rows(self, chosen: Tensor) -> LinearChain:
        return LinearChain(
            self.scores[chosen].double(), self.transitions.double(), self.start.double(), self.end.double(), self.lengths[chosen]
        )

    def _real(self) -> Tensor:
        steps = torch.arange(self.scores.shape[1], device=self.scores.device)
        return steps < self.lengths.to(self.scores.device).unsqueeze(1)


def _path_sum(scores: Tensor, moves: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """log Z of one row: scores (L, K), moves (L-1, K, K)."""
    prefix = start + scores[0]
    for t in range(1, scores.shape[0]):
        prefix = LogSum.sum(prefix.unsqueeze(1) + moves[t - 1], 0) + scores[t]
    return LogSum.sum(prefix + end, 0)


def _forward_backward(chain: LinearChain) -> Posteriors:
    """The scaled recursions on a chain for which `LinearChain.fast` holds."""
    from structseq.structures import kernels

    with torch.no_grad():
        scores, lengths = chain.scores.detach(), chain.lengths
        top = scores.amax(-1, keepdim=True)
        weights = torch.exp(scores - top)
        factors, moved = _exponentials(chain.transitions)
        first, opened = _exponentials(chain.start)
        last, closed = _exponentials(chain.end)
        rows, steps, _ = scores.shape
        alphas, marginals, arrivals = (torch.empty_like(weights) for _ in range(3))
        scales = torch.empty(rows, steps + 1)
        log_z = torch.empty(rows, dtype=torch.float64)
        alive = torch.empty(rows, dtype=torch.bool)
        w, f, a, s, z = weights.numpy(), factors.numpy(), alphas.numpy(), scales.numpy(), last.numpy()
        kernels.forward_scaled(w, f, first.numpy(), z, lengths.numpy(), a, s, log_z.numpy(), alive.numpy())
        kernels.backward_scaled(w, f, z, lengths.numpy(), a, s, alive.numpy(), marginals.numpy(), arrivals.numpy())
        # Shifts go back in float64; padding may be NaN, so it is replaced rather than multiplied away.
        peaks = torch.where(chain._real(), top.squeeze(-1), torch.zeros(())).sum(1, dtype=torch.float64)
        shift = peaks + opened + closed + moved * (lengths - 1)
        log_z = torch.where(lengths > 0, log_z + shift, torch.zeros((), dtype=torch.float64))
        # A row whose forward variables survived can still lose its backward ones: its marginals then do not sum to 1.
        mass = marginals.sum(-1)
        sane = ((mass - 1).abs() < 1e-2) | ~chain._real()
        alive &= sane.all(1) & torch.isfinite(log_z)
    return Posteriors(weights, factors, last, alphas, scales, marginals, arrivals, log_z, alive)


def _exponentials(values: Tensor) -> tuple[Tensor, float]:
    """exp(values - maximum) and the maximum; a table that is -inf throughout is left at zero."""
    values = values.detach()
    top = values.max()
    top = top if bool(torch.isfinite(top)) else torch.zeros_like(top)
    return torch.exp(values - top).contiguous(), float(top)


class _ScaledLogPartition(torch.autograd.Function):
    """log Z with its closed-form gradient: the marginals of tags and of edges."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, transitions: Tensor, start: Tensor, end: Tensor, chain: LinearChain) -> Tensor:
        posteriors = chain.posteriors()
        ctx.posteriors, ctx.lengths = posteriors, chain.lengths
        ctx.save_for_backward(scores, transitions, start, end)
        log_z = posteriors.log_z
        if not bool(posteriors.alive.all()):
            dead = ~posteriors.alive
            log_z = log_z.clone()
            log_z[dead] = chain._rows(dead).recursion(LogSum, scores.detach()[dead].double())
        return log_z.to(scores.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        posteriors, lengths = ctx.posteriors, ctx.lengths
        scores, transitions, start, end = ctx.saved_tensors
        live = torch.where(posteriors.alive & (lengths > 0), upstream, torch.zeros_like(upstream))
        for_scores = posteriors.marginals * live[:, None, None]
        alphas, arrivals = posteriors.alphas, posteriors.arrivals
        rows, steps, tags = alphas.shape
        # alphas beyond a row's length were never written: arrivals there are 0, but NaN * 0 is NaN.
        real = torch.arange(steps) < lengths.unsqueeze(1)
        real = (real & posteriors.alive.unsqueeze(1)).unsqueeze(-1)
        departures = torch.where(real, alphas, torch.zeros(())) * live[:, None, None]
        edges = departures[:, :-1].reshape(-1, tags).T @ arrivals[:, 1:].reshape(-1, tags)
        for_transitions = edges * posteriors.factors
        for_start = for_scores[:, 0].sum(0)
        final = (lengths - 1).clamp(min=0)
        for_end = for_scores[torch.arange(rows), final].sum(0)
        dead = ~posteriors.alive & (lengths > 0)
        if bool(dead.any()):
            parts = _slow_gradients(scores[dead], transitions, start, end, lengths[dead], upstream[dead])
            for_scores[dead] = parts[0]
            for_transitions = for_transitions + parts[1]
            for_start, for_end = for_start + parts[2], for_end + parts[3]
        return for_scores, for_transitions, for_start, for_end, None


def _slow_gradients(
    scores: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor, upstream: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of log Z by the derived path in float64, for rows that the scaled recursion could not hold."""
    with torch.enable_grad():
        leaves = [part.detach().double().requires_grad_() for part in (scores, transitions, start, end)]
        chain = LinearChain(leaves[0], leaves[1], leaves[2], leaves[3], lengths)
        total = (chain.recursion(LogSum, leaves[0]) * upstream.double()).sum()
        gradients = torch.autograd.grad(total, leaves)
    return tuple(gradient.to(scores.dtype) for gradient in gradients)


__all__ = ["Best", "EdgePattern", "LinearChain", "Posteriors", "compiled_available"]
