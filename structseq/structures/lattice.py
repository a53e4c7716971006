"""Alignments: the frame paths of a label sequence under CTC (Graves, Fernández, Gomez and Schmidhuber 2006, section 4).

Equation numbers are those of the paper, "Connectionist temporal classification".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from structseq.structures.base import LogSemiring, Ranked, Semiring, Structure, checked_lengths


class Lattice(NamedTuple):
    """Each row's target with a blank around each label: S = 2U + 1 states (l' of section 4.1)."""

    labels: Tensor  # (B, S) the label of each state; blank in the padding
    real: Tensor  # (B, S) mask of the states that are not padding
    transitions: Tensor  # (B, S, 3) into each state from two states before, one before, itself: 0, or -inf if forbidden
    start: Tensor  # (B, S) 0 if a path may begin there, else -inf
    end: Tensor  # (B, S) 0 if a path may end there, else -inf

    @staticmethod
    def of(target: Tensor, target_lengths: Tensor, blank: int) -> Lattice:
        """From targets (B, U) padded with the blank."""
        rows, most = target.shape
        labels = target.new_full((rows, 2 * most + 1), blank)
        labels[:, 1::2] = target
        state = torch.arange(labels.shape[1], device=target.device)
        # A path may skip a blank between two different labels (the two cases of equation 6).
        skips = labels != blank
        skips[:, :2] = False
        skips[:, 2:] &= labels[:, 2:] != labels[:, :-2]
        transitions = torch.stack([skips, (state > 0).expand_as(skips), torch.ones_like(skips)], 2)
        last = 2 * target_lengths.to(target.device).unsqueeze(1)
        real = state <= last
        start, end = (state < 2) & real, (state >= last - 1) & real
        return Lattice(labels, real, _log_mask(transitions), _log_mask(start), _log_mask(end))


class Alignments(Structure):
    """The distribution over frame paths that `collapse` to each row's target, with p(path) proportional to exp(score).

    score(path) = sum_t scores[t, path_t]

    A path is (B, T) int64, 0 in the padding. If the scores are log-probabilities, log Z is the target's
    log-probability.

    Ties go to the path whose last state in `Lattice` is lowest, then the state before it, and so on. Recursions run in
    the log domain in float64. Time and memory are O(B T (K + U)). Raises ValueError if a shape, type, length or label
    does not fit.

    Parameters
    ----------
    scores: (B, T, K)
    target: (B, U)
        Labels, padded with the blank.
    target_lengths: (B,)
        By default the number of labels that are not blank.
    """

    def __init__(
        self, scores: Tensor, lengths: Tensor, target: Tensor, target_lengths: Tensor | None = None, *, blank: int = 0
    ) -> None:
        require_frames(scores, blank)
        self.scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        self.lengths = checked_lengths(lengths, *scores.shape[:2])
        self.target, self.target_lengths = _checked_target(target, target_lengths, len(scores), scores.shape[2], blank)
        self.blank = blank
        with torch.inference_mode(False):  # it needs gradients in inference mode too
            self.lattice = Lattice.of(self.target.to(scores.device), self.target_lengths, blank)

    @property
    def weights(self) -> tuple[Tensor, ...]:
        return (torch.where(self._real().unsqueeze(2), self.scores, 0.0),)

    def with_weights(self, weights: tuple[Tensor, ...]) -> Alignments:
        return Alignments(weights[0], self.lengths, self.target, self.target_lengths, blank=self.blank)

    def recursion(self, semiring: Semiring, weights: tuple[Tensor, ...]) -> Tensor:
        """Equations 5 to 8 in the log domain."""
        scores, lattice = weights[0], self.lattice
        if scores.shape[1] == 0:
            # The sum is 0, but keeps the result differentiable.
            return semiring.lift(self._empty_log_z() + scores.double().sum((1, 2))).to(scores.dtype)
        # (B, S) for each step. The gradient of unbind is one tensor, that of indexing one for each step.
        emissions = self._states(scores).unbind(1)
        real = self._real()
        alpha = semiring.lift(lattice.start + emissions[0])  # (.., B, S)
        for t in range(1, len(emissions)):
            shifted = torch.cat([alpha.new_full((*alpha.shape[:-1], 2), -torch.inf), alpha], -1)
            next_alpha = semiring.sum(shifted.unfold(-1, 3, 1) + lattice.transitions, -1) + emissions[t]
            alpha = torch.where(real[:, t, None], next_alpha, alpha)
        total = semiring.sum(alpha + lattice.end, -1)
        return torch.where(self._not_empty(), total, semiring.lift(self._empty_log_z())).to(scores.dtype)

    def score(self, target: Tensor) -> Tensor:
        """(B,) unnormalised log-score of paths (B, T); -inf if they do not collapse to the target."""
        rows, steps, _ = self.scores.shape
        if target.shape != (rows, steps):
            raise ValueError(f"expected paths of shape {(rows, steps)}, found {tuple(target.shape)}")
        real = self._real()
        path = target.to(self.scores.device).masked_fill(~real, self.blank)
        emissions = self.scores.gather(2, path.unsqueeze(2)).squeeze(2).double()
        total = torch.where(real, emissions, 0.0).sum(1)
        return torch.where(self._matches_target(path), total, -torch.inf).to(self.scores.dtype)

    def log_prob(self, target: Tensor) -> Tensor:
        if self.scores.dtype == torch.float64:
            return super().log_prob(target)
        # In a long row two large numbers nearly cancel.
        return self.with_scores(self.scores.double()).log_prob(target).to(self.scores.dtype)

    def ranked(self, k: int) -> Ranked:
        found = super().ranked(k)
        if self.scores.shape[1] == 0:  # only an empty target has an answer
            found.score[:, 0] = self._empty_log_z().to(found.score)
        return found

    def kl(self, other: Structure) -> Tensor:
        """`Structure.kl`; also raises ValueError if the targets differ."""
        found = super().kl(other)
        if isinstance(other, Alignments) and not (self.blank == other.blank and self.target.equal(other.target)):
            raise ValueError("expected alignments of the same targets and the same blank, found others")
        return found

    def log_partition(self) -> Tensor:
        if self.scores.numel() == 0:
            return super().log_partition()
        total: Tensor = _LogPartition.apply(self, *self.weights)
        return total

    def marginals(self) -> Tensor:
        if self.scores.numel() == 0:
            return super().marginals()
        with torch.no_grad():
            return self.forward_backward()[1]

    def forward_backward(self, *, backward: bool = True) -> tuple[Tensor, Tensor]:
        """log Z (B,) and, if ``backward``, the occupancies (B, T, K) (sections 4.1 and 4.2).

        Backward variables are forward variables of the reversed row; one scan computes both.
        """
        (scores,), (rows, steps, _) = self._detached(), self.scores.shape
        emissions = self._states(scores)  # (B, T, S)
        if not backward:
            forward = _forward_variables(emissions, self.lattice)
            return self._log_z_of(forward, emissions).to(scores.dtype), scores.new_zeros(0)
        reversal = self._reversal()
        target = self.target.gather(1, _reversed_index(self.target_lengths, self.target.shape[1]))
        reversed_lattice = Lattice.of(target.to(scores.device), self.target_lengths, self.blank)
        both = Lattice(*(torch.cat(pair) for pair in zip(self.lattice, reversed_lattice, strict=True)))
        forward = _forward_variables(torch.cat([emissions, _reordered(emissions, reversal)]), both)  # (2B, T, S)
        log_z = self._log_z_of(forward[:rows], emissions)
        # log of alpha beta / y / p, to be summed over the states of a label (equations 14 and 15). Here alpha and beta
        # do not contain the frame's own y.
        safe_log_z = torch.where(torch.isneginf(log_z), 0.0, log_z).view(-1, 1, 1)
        posteriors = (forward[:rows] + _reordered(forward[rows:], reversal) + emissions - safe_log_z).exp()
        real = self._real().unsqueeze(2) & self.lattice.real.unsqueeze(1)
        posteriors = torch.where(real, posteriors, 0.0)
        labels = self.lattice.labels.unsqueeze(1).expand(-1, steps, -1)
        occupancies = torch.zeros_like(scores).scatter_add_(2, labels, posteriors.to(scores.dtype))
        return log_z.to(scores.dtype), occupancies

    def _states(self, scores: Tensor) -> Tensor:
        """(B, T, S) float64 scores of each frame in each state."""
        labels = self.lattice.labels.unsqueeze(1).expand(-1, scores.shape[1], -1)
        return scores.gather(2, labels).double()

    def _log_z_of(self, forward: Tensor, emissions: Tensor) -> Tensor:
        """(B,) log Z (equation 8) from forward variables and scores (B, T, S)."""
        row = torch.arange(len(emissions), device=emissions.device)
        last = (self.lengths - 1).clamp(min=0).to(emissions.device)
        total = (forward[row, last] + emissions[row, last] + self.lattice.end).logsumexp(-1)
        return torch.where(self._not_empty(), total, self._empty_log_z())

    def _reversal(self) -> Tensor:
        """(B, T S) index of frames and states in the reversed row."""
        frames = _reversed_index(self.lengths, self.scores.shape[1])  # (B, T)
        count = self.lattice.labels.shape[1]
        states = _reversed_index(2 * self.target_lengths + 1, count)  # (B, S)
        return (frames.unsqueeze(2) * count + states.unsqueeze(1)).flatten(1).to(self.scores.device)

    def _matches_target(self, path: Tensor) -> Tensor:
        """(B,) whether a path (B, T) collapses to its row's target."""
        starts = label_starts(path, self.blank)
        # An extra column of blanks stands for the end; no label equals it.
        labels = torch.nn.functional.pad(self.target, (0, 1), value=self.blank).to(path.device)
        place = (starts.cumsum(1) - 1).clamp(0, labels.shape[1] - 1)
        matches = ~starts | (path == labels.gather(1, place))
        return matches.all(1) & (starts.sum(1) == self.target_lengths.to(path.device))

    def _not_empty(self) -> Tensor:
        """(B,) rows that have frames."""
        return (self.lengths > 0).to(self.scores.device)

    def _empty_log_z(self) -> Tensor:
        """(B,) float64 log Z of rows without frames."""
        return _log_mask(self.target_lengths == 0).to(self.scores.device)


class _LogPartition(torch.autograd.Function):
    """log Z; its gradient is the occupancies (equation 16)."""

    @staticmethod
    def forward(ctx: Any, alignments: Alignments, scores: Tensor) -> Tensor:
        log_z, occupancies = alignments.forward_backward(backward=ctx.needs_input_grad[1])
        ctx.alignments = alignments
        ctx.save_for_backward(scores, occupancies)
        return log_z

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        scores, occupancies = ctx.saved_tensors
        if torch.is_grad_enabled():  # double backward: trace torch operations
            again = ctx.alignments.recursion(LogSemiring(), (scores,))
            return None, torch.autograd.grad(again, scores, upstream, create_graph=True)[0]
        return None, occupancies * upstream[:, None, None]


def _forward_variables(emissions: Tensor, lattice: Lattice) -> Tensor:
    """(B, T, S) float64 log alpha of equation 6, without the frame's own y."""
    rows, steps, states = emissions.shape
    # States before rows, so that neighbouring states are contiguous.
    step_emissions = emissions.permute(1, 2, 0).contiguous().unbind()  # (S, B) for each step
    forward = emissions.new_empty(steps, states, rows)
    forward[0] = lattice.start.T
    into_step = forward.unbind()
    # Two extra states of -inf precede alpha.
    alpha = emissions.new_full((states + 2, rows), -torch.inf)
    current, one_before, two_before = alpha[2:], alpha[1:-1], alpha[:-2]
    skips, skipping = lattice.transitions[..., 0].T.contiguous(), torch.empty_like(into_step[0])
    for entering, emission, following in zip(into_step, step_emissions, into_step[1:], strict=False):
        torch.add(entering, emission, out=current)
        torch.add(two_before, skips, out=skipping)
        torch.logaddexp(current, one_before, out=following)
        torch.logaddexp(following, skipping, out=following)
    return forward.permute(2, 0, 1)


def require_frames(scores: Tensor, blank: int) -> None:
    if scores.dim() != 3 or not scores.is_floating_point() or scores.shape[2] == 0:
        raise ValueError(
            f"scores: expected floating-point numbers of shape (rows, frames, labels) with at least one label, "
            f"found {scores.dtype} of shape {tuple(scores.shape)}"
        )
    if not isinstance(blank, int) or isinstance(blank, bool) or not 0 <= blank < scores.shape[2]:
        raise ValueError(f"blank: expected a label from 0 to {scores.shape[2] - 1}, found {blank!r}")


def _checked_target(
    target: Tensor, target_lengths: Tensor | None, rows: int, labels: int, blank: int
) -> tuple[Tensor, Tensor]:
    """Targets (B, U), cut to the longest and padded, and their lengths (B,), on the CPU."""
    if target.dim() != 2 or len(target) != rows or target.is_floating_point() or target.dtype == torch.bool:
        raise ValueError(
            f"target: expected whole numbers of shape ({rows}, labels), "
            f"found {target.dtype} of shape {tuple(target.shape)}"
        )
    target = target.cpu().long()
    if target_lengths is None:
        target_lengths = (target != blank).sum(1)
    else:
        target_lengths = checked_lengths(target_lengths, len(target), target.shape[1], name="target_lengths")
    inside = torch.arange(target.shape[1]) < target_lengths.unsqueeze(1)
    wrong = (inside & ((target < 0) | (target >= labels) | (target == blank))).any(1)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"target: expected labels from 0 to {labels - 1}, padded with the blank, {blank}; found "
            f"{target[row].tolist()} of length {int(target_lengths[row])} in row {row}"
        )
    longest = int(target_lengths.max()) if rows else 0
    return target.masked_fill(~inside, blank)[:, :longest], target_lengths


def label_starts(path: Tensor, blank: int) -> Tensor:
    """(B, T) mask of frames that begin a label."""
    before = torch.nn.functional.pad(path, (1, 0), value=blank)[:, :-1]
    return (path != blank) & (path != before)


def _log_mask(allowed: Tensor) -> Tensor:
    """0 where ``allowed``, -inf elsewhere."""
    return torch.zeros(allowed.shape, dtype=torch.float64, device=allowed.device).masked_fill(~allowed, -torch.inf)


def _reversed_index(lengths: Tensor, steps: int) -> Tensor:
    """(B, ``steps``) index of each step in the reversed row."""
    step = torch.arange(steps)
    mirrored = lengths.unsqueeze(1) - 1 - step
    return torch.where(mirrored >= 0, mirrored, step)


def _reordered(values: Tensor, order: Tensor) -> Tensor:
    return values.flatten(1).gather(1, order).view(values.shape)
