"""LinearChain: a linear-chain CRF's distribution over tag sequences (Lafferty, McCallum and Pereira 2001)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from structseq.structures import vectorised
from structseq.structures.base import (
    LogSemiring,
    Ranked,
    Semiring,
    Structure,
    checked_lengths,
    checked_table,
    draw,
    mask_scores,
    require_count,
)
from structseq.structures.forward_backward import (
    LogPartition,
    LogProb,
    PathScore,
    Posteriors,
    can_use_kernels,
    edge_of,
    posteriors,
    table_of,
)


class EdgePattern(NamedTuple):
    """Booleans: the tags and transitions that open, continue and close a span.

    The fields are those of `spans.schemes.Edges`, repeated here because `structures` does not import `spans`.
    """

    start: Any  # (K,) at the first token of a sentence
    opens: Any  # (K, K) [from, to]
    continues: Any  # (K, K)
    closes: Any  # (K, K)
    end: Any  # (K,) at the last token of a sentence


@runtime_checkable
class TagDistribution(Protocol):
    """A distribution over tag sequences with probabilities of spans."""

    lengths: Tensor  # (B,)

    def marginals(self) -> Tensor:
        """(B, T, K) probability that a token has a tag; zero in the padding."""

    def span_probabilities(self, spans: Sequence[tuple[int, int, int, int]], patterns: Sequence[EdgePattern]) -> Tensor:
        """(S,) float64 probability of each span (row, start, end, pattern); see `LinearChain.span_probabilities`."""


class LinearChain(Structure):
    """The distribution over tag sequences y with p(y) proportional to exp(score(y)).

    score(y) = start[y_1] + sum_t scores[t, y_t] + sum_t transitions[y_{t-1}, y_t] + end[y_L]

    Raises ValueError if a shape or a type does not fit.

    Parameters
    ----------
    scores: (B, T, K) in nats
    transitions: (K, K) [from, to]; or (B, K, K) per row; or (B, T-1, K, K) per row and step
        B and T-1 may each be 1 (shared).
    start, end: (K,), or (B, K) per row
    lengths: (B,) whole numbers from 0 to T
    allowed: (B, T, K) booleans
        False sets a score to -inf.
    calibrated:
        See `Distribution`.

    Examples
    --------
    >>> scores = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]])
    >>> chain = LinearChain(scores, torch.zeros(2, 2), torch.zeros(2), torch.zeros(2), torch.tensor([2]))
    >>> chain.best().path.tolist()
    [[0, 1]]
    >>> round(float(chain.log_prob(torch.tensor([[0, 1]])).exp()), 3)
    0.644
    """

    exact = Structure.exact | {"edge_marginals", "span_probabilities"}

    def __init__(
        self, scores: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor, *,
        allowed: Tensor | None = None, calibrated: bool = True,
    ) -> None:  # fmt: skip
        if scores.dim() != 3 or not scores.is_floating_point():
            raise ValueError(
                f"scores: expected floating-point numbers of shape (rows, steps, tags), "
                f"found {scores.dtype} of shape {tuple(scores.shape)}"
            )
        rows, steps, tags = scores.shape
        dtype = torch.promote_types(scores.dtype, torch.float32)
        self.scores, self.transitions, self.start, self.end = (
            part if part.dtype == dtype else part.to(dtype) for part in (scores, transitions, start, end)
        )
        self.lengths = checked_lengths(lengths, rows, steps)
        _require_table(self.transitions, rows, steps, tags)
        checked_table(self.start, "start", rows, (tags,))
        checked_table(self.end, "end", rows, (tags,))
        self.calibrated = calibrated
        if allowed is not None:
            self.scores = mask_scores(self.scores, allowed)
        self._posteriors: Posteriors | None = None
        self._arrays: list[np.ndarray] | None = None

    @property
    def uses_kernels(self) -> bool:
        return can_use_kernels(self.scores)

    @property
    def tables(self) -> tuple[Tensor, Tensor, Tensor]:
        """Transitions (1|B, 1|T-1, K, K) [from, to], start and end (1|B, K)."""
        return table_of(self.transitions), edge_of(self.start), edge_of(self.end)

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """Scores and `tables`, 0 in the padding."""
        # torch.where and no product with the mask, because NaN * 0 is NaN.
        real, (transitions, start, end) = self._real(), self.tables
        scores = torch.where(real.unsqueeze(-1), self.scores, torch.zeros_like(self.scores))
        if transitions.shape[0] * transitions.shape[1] > 1:
            # Transitions at steps that no row has are 0.
            used = real[:, 1:] if transitions.shape[1] > 1 else real[:, 1:].any(1, keepdim=True)
            used = used if transitions.shape[0] > 1 else used.any(0, keepdim=True)
            transitions = torch.where(used[:, :, None, None], transitions, torch.zeros_like(transitions))
        return scores, transitions, start, end

    def with_weights(self, weights: tuple[Tensor, ...]) -> LinearChain:
        scores, transitions, start, end = weights
        return LinearChain(scores, transitions, start, end, self.lengths, calibrated=self.calibrated)

    def tempered(self, temperature: float) -> LinearChain:
        # Without `weights`, because taggers need it for each batch: the padding may hold anything.
        parts = (self.scores, self.transitions, self.start, self.end)
        return self.with_weights(tuple(part / temperature for part in parts))

    def with_scores(self, scores: Tensor) -> LinearChain:
        return self.with_weights((scores, self.transitions, self.start, self.end))

    def recursion(self, semiring: Semiring, weights: tuple[Tensor, ...]) -> Tensor:
        scores, transitions, start, end = weights
        empty = semiring.lift(scores.new_zeros(scores.shape[0]))
        if scores.shape[1] == 0:
            return empty + scores.flatten(1).sum(1)  # 0, and differentiable
        real = self._real()
        prefix = semiring.lift(start + scores[:, 0])  # (.., B, K)
        for t in range(1, scores.shape[1]):
            next_prefix = (
                semiring.sum(prefix.unsqueeze(-1) + vectorised.transitions_at(transitions, t - 1), -2) + scores[:, t]
            )
            prefix = torch.where(real[:, t].unsqueeze(1), next_prefix, prefix)
        total = semiring.sum(prefix + end, -1)
        return torch.where(real[:, 0], total, empty)

    def path_score(self, target: Tensor) -> Tensor:
        """`score` by torch operations only."""
        real = self._real()
        tags = target.to(self.scores.device).masked_fill(~real, 0)
        emissions = self.scores.gather(-1, tags.unsqueeze(-1)).squeeze(-1)  # (B, T)
        total = torch.where(real, emissions, torch.zeros_like(emissions)).sum(1)
        rows, steps = tags.shape
        if steps == 0:
            return total
        row = torch.arange(rows, device=tags.device)
        step = torch.arange(steps - 1, device=tags.device)
        table, start, end = self.tables
        table = table.expand(rows, max(steps - 1, table.shape[1]), -1, -1)
        path_transitions = table[row.unsqueeze(1), step, tags[:, :-1], tags[:, 1:]]  # (B, T-1)
        total = total + torch.where(real[:, 1:], path_transitions, torch.zeros_like(path_transitions)).sum(1)
        last = tags.gather(1, (self.lengths.to(tags.device) - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
        edges = start.expand(rows, -1)[row, tags[:, 0]] + end.expand(rows, -1)[row, last]
        return total + torch.where(real[:, 0], edges, torch.zeros_like(edges))

    def log_partition(self) -> Tensor:
        if self.scores.numel() == 0:
            return super().log_partition()
        total: Tensor = LogPartition.apply(self, self.scores, self.transitions, self.start, self.end)
        return total

    def score(self, target: Tensor) -> Tensor:
        self._require_shape(target)
        if not self.uses_kernels:
            return self.path_score(target)
        total: Tensor = PathScore.apply(self, target.long().contiguous(), self.scores, *self.tables)
        return total

    def log_prob(self, target: Tensor) -> Tensor:
        self._require_shape(target)
        if not self.uses_kernels:
            return super().log_prob(target)
        weights = self.scores, self.transitions, self.start, self.end
        result: Tensor = LogProb.apply(self, target.long().contiguous(), *weights)
        return result

    def marginals(self) -> Tensor:
        return super().marginals() if self.scores.numel() == 0 else self.posteriors().marginals

    def edge_marginals(self) -> Tensor:
        """(B, T-1, K, K) [row, t, i, k] probability that position t has tag i and t + 1 has tag k; 0 in the padding."""
        rows, steps, tags = self.scores.shape
        if steps < 2 or rows == 0 or tags == 0:
            return self.scores.new_zeros(rows, max(steps - 1, 0), tags, tags)
        transitions, start, end = self.tables
        transitions = transitions.expand(rows, steps - 1, -1, -1)
        result = self.with_weights((self.scores, transitions, start, end)).posteriors()
        return result.expected_transitions(result.marginals.new_ones(rows), transitions.shape)

    def best(self) -> Ranked:
        if self.scores.numel() == 0:
            return super().best()
        if not self.uses_kernels:
            scores, transitions, start, end = self._detached()
            return vectorised.viterbi(scores, transitions, start, end, self.lengths)
        from structseq.structures import kernels

        arrays = self.arrays()
        paths, best = np.empty(self.scores.shape[:2], np.int64), np.empty(len(self.scores))
        kernels.viterbi(*arrays, self.lengths.numpy(), paths, best)
        return Ranked(torch.from_numpy(paths), torch.from_numpy(best.astype(arrays[0].dtype)))

    def ranked(self, k: int) -> Ranked:
        require_count(k, "k")
        if not self.uses_kernels:
            return super().ranked(k)
        from structseq.structures import kernels

        rows, steps, _ = self.scores.shape
        arrays = [part.detach().double().contiguous().numpy() for part in (self.scores, *self.tables)]
        paths, best_scores = torch.empty(rows, k, steps, dtype=torch.int64), torch.empty(rows, k, dtype=torch.float64)
        kernels.ranked(*arrays, self.lengths.numpy(), paths.numpy(), best_scores.numpy())
        return Ranked(paths, best_scores.to(self.scores.dtype))

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, B, T) samples by forward filtering and backward sampling (Chib 1996; Scott 2002, section 3) in
        float64."""
        require_count(n, "n")
        rows, steps, _ = self.scores.shape
        paths = torch.zeros(n, rows, steps, dtype=torch.int64, device=self.scores.device)
        if self.scores.numel() == 0:
            return paths
        with torch.no_grad():
            scores, transitions, start, end = (part.detach().double() for part in self.weights)
            prefix = [start + scores[:, 0]]  # (B, K) for each step
            for t in range(1, steps):
                step = vectorised.transitions_at(transitions, t - 1)
                prefix.append(_LOG_SUM.sum(prefix[-1].unsqueeze(2) + step, -2) + scores[:, t])
            lengths = self.lengths.to(scores.device)
            for t in range(steps - 1, -1, -1):
                logits = (prefix[t] + end).expand(n, -1, -1)
                if t + 1 < steps:
                    # (B, K to, K from)
                    step = vectorised.transitions_at(transitions, t).transpose(1, 2).expand(rows, -1, -1)
                    given_next = prefix[t] + step[torch.arange(rows, device=scores.device), paths[:, :, t + 1]]
                    logits = torch.where((lengths - 1 > t).view(1, -1, 1), given_next, logits)
                paths[:, :, t] = torch.where(t < lengths, draw(logits, generator), 0)
        return paths

    def expected(self, values: tuple[Tensor, ...]) -> Tensor:
        # The closed form below has no gradient; the base class differentiates.
        differentiable = torch.is_grad_enabled() and any(part.requires_grad for part in (*self.weights, *values))
        if differentiable or self.scores.numel() == 0:
            return super().expected(values)
        rows = self.scores.shape[0]
        chain = self.float64_rows(torch.arange(rows))
        if values[1].shape[1] > chain.transitions.shape[1]:  # if values differ by step, counts are needed for each step
            transitions = chain.transitions.expand(-1, values[1].shape[1], -1, -1)
            chain = chain.with_weights((chain.scores, transitions, chain.start, chain.end))
        result = chain.posteriors()
        ones = result.log_z.new_ones(rows)
        last = (torch.arange(rows, device=self.scores.device), (self.lengths - 1).clamp(min=0).to(self.scores.device))
        counts = (
            result.marginals, result.expected_transitions(ones, chain.transitions.shape),
            result.marginals[:, 0], result.marginals[last],
        )  # fmt: skip
        # 0 times an infinite value must be 0, not NaN.
        parts = [
            torch.where(count > 0, count * value.detach().double(), 0.0).flatten(1).sum(1)
            for count, value in zip(counts, values, strict=True)
        ]
        return torch.stack(parts).sum(0)

    def arrays(self) -> list[np.ndarray]:
        """Scores and `tables` as NumPy arrays, detached; made once."""
        if self._arrays is None:
            parts = (self.scores, self.transitions, self.start, self.end)
            scores, transitions, start, end = (part.detach().contiguous().numpy() for part in parts)
            self._arrays = [scores, table_of(transitions), edge_of(start), edge_of(end)]
        return self._arrays

    def posteriors(self) -> Posteriors:
        """Marginals, log Z and expected transitions, computed once."""
        if self._posteriors is None:
            self._posteriors = posteriors(self)
        return self._posteriors

    def span_probabilities(
        self, spans: Sequence[tuple[int, int, int, int]] | np.ndarray, patterns: Sequence[EdgePattern]
    ) -> Tensor:
        """(S,) float64 probability of each span (row, start, end, pattern): ``end`` is exclusive, ``pattern`` an index
        into ``patterns``.

        Raises IndexError if a span leaves its row or its pattern does not exist.
        """
        if not len(spans):
            return torch.zeros(0, dtype=torch.float64)
        array = np.asarray(spans, dtype=np.int64)  # (S, 4)
        row, start, end, pattern = array.T
        valid = (row >= 0) & (row < len(self.lengths))
        lengths = np.where(valid, self.lengths.numpy()[np.where(valid, row, 0)], 0) if len(self.lengths) else 0 * row
        inside = (start >= 0) & (start < end) & (end <= lengths) & (pattern >= 0) & (pattern < len(patterns))
        if not inside.all():
            found = tuple(array[~inside][0].tolist())
            raise IndexError(f"expected a span (row, start, end, pattern) within its row, found {found}")
        if not self.uses_kernels:
            return _log_domain_span_probabilities(self, array.tolist(), patterns)
        from structseq.structures import kernels

        scaled = self.posteriors().scaled
        stacked = [np.stack([np.asarray(getattr(p, name)) for p in patterns]) for name in EdgePattern._fields]
        out = np.zeros(len(spans))
        arrays = (scaled.alphas, scaled.arrivals, scaled.weights, scaled.scales, scaled.factors, scaled.end_factors)
        kernels.span_probabilities(
            *map(np.asarray, arrays), self.lengths.numpy(), *np.ascontiguousarray(array.T), *stacked, out
        )
        # The scaled recursion underflows in some rows.
        dead_spans = ~np.asarray(scaled.alive)[array[:, 0]]
        if dead_spans.any():
            out[dead_spans] = _log_domain_span_probabilities(self, array[dead_spans].tolist(), patterns).numpy()
        return torch.from_numpy(np.clip(out, 0.0, 1.0))

    def select(self, rows: Tensor) -> LinearChain:
        """The chain of ``rows`` (R,) in that order; rows may repeat. Differentiable."""
        transitions, start, end = (
            part[rows] if part.dim() > dims and part.shape[0] > 1 else part
            for part, dims in ((self.transitions, 2), (self.start, 1), (self.end, 1))
        )
        lengths = self.lengths[rows.cpu()]
        return LinearChain(self.scores[rows], transitions, start, end, lengths, calibrated=self.calibrated)

    def float64_rows(self, rows: Tensor) -> LinearChain:
        """The chain of ``rows`` (R,) in float64, detached, with transitions, start and end for each row."""
        parts = [part.detach() for part in (self.scores, *self.tables)]
        selected = [part.expand(len(self.scores), *part.shape[1:])[rows].double() for part in parts]
        scores, transitions, start, end = selected
        return LinearChain(scores, transitions, start, end, self.lengths[rows.cpu()], calibrated=self.calibrated)

    def _require_shape(self, target: Tensor) -> None:
        if target.shape != self.scores.shape[:2]:
            raise ValueError(f"expected a target of shape {tuple(self.scores.shape[:2])}, found {tuple(target.shape)}")


def _require_table(transitions: Tensor, rows: int, steps: int, tags: int) -> None:
    shape = tuple(transitions.shape)
    fits = 2 <= len(shape) <= 4 and shape[-2:] == (tags, tags) and (len(shape) < 3 or shape[0] in (1, rows))
    if not fits or (len(shape) == 4 and shape[1] not in (1, max(steps - 1, 0))):
        raise ValueError(
            f"transitions: expected ({tags}, {tags}), ({rows}, {tags}, {tags}) or "
            f"({rows}, {max(steps - 1, 0)}, {tags}, {tags}), found {shape}"
        )


_LOG_SUM = LogSemiring()


def _log_domain_span_probabilities(
    chain: LinearChain, spans: Sequence[tuple[int, int, int, int]], patterns: Sequence[EdgePattern]
) -> Tensor:
    """`LinearChain.span_probabilities` by a slower recursion in the log domain, in float64."""
    device = chain.scores.device
    tables = [EdgePattern(*(torch.as_tensor(part, device=device) for part in pattern)) for pattern in patterns]
    sums: dict[int, _LogForwardBackward] = {}
    answers = []
    with torch.no_grad():
        for row, start, end, kind in spans:
            if row not in sums:
                sums[row] = _LogForwardBackward.of(chain.float64_rows(torch.tensor([row])))
            answers.append(sums[row].span(start, end, tables[kind]))
    return torch.stack(answers).exp().cpu()


class _LogForwardBackward(NamedTuple):
    """Forward and backward variables of one row, in nats."""

    chain: LinearChain  # B = 1
    forward: list[Tensor]  # (K,) for each step, including the step's score
    backward: list[Tensor]  # (K,) for each step, without the step's score
    log_z: Tensor  # () log of the partition function

    @staticmethod
    def of(chain: LinearChain) -> _LogForwardBackward:
        scores = chain.scores[0, : int(chain.lengths[0])]
        forward, backward = [chain.start[0] + scores[0]], [chain.end[0]]
        for t in range(1, len(scores)):
            forward.append(_LOG_SUM.sum(forward[-1].unsqueeze(1) + _transitions_into(chain, t), -2) + scores[t])
        for t in range(len(scores) - 1, 0, -1):
            backward.append(_LOG_SUM.sum(_transitions_into(chain, t) + (scores[t] + backward[-1]), -1))
        return _LogForwardBackward(chain, forward, backward[::-1], _LOG_SUM.sum(forward[-1] + chain.end[0], -1))

    def span(self, start: int, end: int, pattern: EdgePattern) -> Tensor:
        """() log-probability of a span; ``end`` is exclusive."""
        scores = self.chain.scores[0]
        if start == 0:
            prefix = self.forward[0].masked_fill(~pattern.start, -torch.inf)
        else:
            opening = _transitions_into(self.chain, start).masked_fill(~pattern.opens, -torch.inf)
            prefix = _LOG_SUM.sum(self.forward[start - 1].unsqueeze(1) + opening, -2) + scores[start]
        for t in range(start + 1, end):
            continuing = _transitions_into(self.chain, t).masked_fill(~pattern.continues, -torch.inf)
            prefix = _LOG_SUM.sum(prefix.unsqueeze(1) + continuing, -2) + scores[t]
        if end == len(self.forward):
            complete = prefix + self.chain.end[0].masked_fill(~pattern.end, -torch.inf)
        else:
            leaving = _transitions_into(self.chain, end).masked_fill(~pattern.closes, -torch.inf)
            complete = (prefix.unsqueeze(1) + leaving + (scores[end] + self.backward[end])).flatten()
        return _LOG_SUM.sum(complete, -1) - self.log_z


def _transitions_into(chain: LinearChain, step: int) -> Tensor:
    """(K, K) [from, to] transitions into ``step``, in a chain of one row."""
    return vectorised.transitions_at(chain.transitions, step - 1)[0]
