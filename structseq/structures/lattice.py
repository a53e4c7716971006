"""Alignments: the frame paths that read one label sequence, as an exact structure (Graves et al. 2006, section 4).

Graves, Fernández, Gomez and Schmidhuber 2006, "Connectionist temporal classification"; equation numbers are theirs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from structseq.structures.base import LogSum, Ranked, Semiring, Structure, lengths_of


class Lattice(NamedTuple):
    """Each row's target with a blank before, between and after its labels: S = 2U + 1 states (l' of section 4.1)."""

    labels: Tensor  # (B, S) the label of each state; blank in the padding
    real: Tensor  # (B, S) which states are not padding
    transitions: Tensor  # (B, S, 3) 0 if a state may follow the one two before it, the one before it, itself; else -inf
    start: Tensor  # (B, S) 0 if a path may begin there, else -inf
    end: Tensor  # (B, S) 0 if a path may end there, else -inf

    @staticmethod
    def of(target: Tensor, target_lengths: Tensor, blank: int) -> Lattice:
        """From targets (B, U) padded with the blank."""
        rows, most = target.shape
        labels = target.new_full((rows, 2 * most + 1), blank)
        labels[:, 1::2] = target
        state = torch.arange(labels.shape[1], device=target.device)
        # Skip a blank between two different labels (the two cases of equation 6).
        skips = labels != blank
        skips[:, :2] = False
        skips[:, 2:] &= labels[:, 2:] != labels[:, :-2]
        transitions = torch.stack([skips, (state > 0).expand_as(skips), torch.ones_like(skips)], 2)
        last = 2 * target_lengths.to(target.device).unsqueeze(1)
        real = state <= last
        start, end = (state < 2) & real, (state >= last - 1) & real
        return Lattice(labels, real, _forbidding(transitions), _forbidding(start), _forbidding(end))


class Alignments(Structure):
    """A distribution over the frame paths that `collapse` to each row's target; p(path) is proportional to exp(score).

    score(path) = sum_t scores[t, path_t], and -inf for any other path

    If the scores are log-probabilities (as of `Ctc.alignments`), log Z is the target's log-probability, `best` is the
    alignment and `marginals` are the occupancies. A path is (B, T) int64, 0 in the padding.

    A path goes through the states of `Lattice`: it stays, takes the next state, or skips a blank between two different
    labels. Ties go to the path whose last state is lowest, then the state before it, and so on, in `ranked` too.
    Recursions run in logarithms and float64. Time and memory are O(B T (K + U)). Raises ValueError if a shape, a type,
    a length or a label does not fit.

    Parameters
    ----------
    scores: (B, T, K)
    target: (B, U)
        Labels, padded with the blank.
    target_lengths: (B,)
        By default the number of labels that are not blank.

    Examples
    --------
    >>> scores = torch.tensor([[[0.1, 0.9], [0.5, 0.5], [0.2, 0.8]]]).log()
    >>> seven_seven = Alignments(scores, torch.tensor([3]), torch.tensor([[1, 1]]))
    >>> seven_seven.best().path.tolist(), round(float(seven_seven.log_partition().exp()), 2)
    ([[1, 0, 1]], 0.36)
    """

    def __init__(
        self, scores: Tensor, lengths: Tensor, target: Tensor, target_lengths: Tensor | None = None, *, blank: int = 0
    ) -> None:
        require_frames(scores, blank)
        self.scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        self.lengths = lengths_of(lengths, *scores.shape[:2])
        self.target, self.target_lengths = _cleaned(target, target_lengths, len(scores), scores.shape[2], blank)
        self.blank = blank
        with torch.inference_mode(False):  # gradients are taken through it in any mode
            self.lattice = Lattice.of(self.target.to(scores.device), self.target_lengths, blank)

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """Scores (B, T, K), 0 in the padding."""
        return (torch.where(self._real().unsqueeze(2), self.scores, 0.0),)

    def with_weights(self, weights: tuple[Tensor, ...]) -> Alignments:
        return Alignments(weights[0], self.lengths, self.target, self.target_lengths, blank=self.blank)

    def recursion(self, semiring: Semiring, weights: tuple[Tensor, ...]) -> Tensor:
        """Equations 5 to 8, with alpha in logarithms."""
        scores, lattice = weights[0], self.lattice
        if scores.shape[1] == 0:
            # The sum is 0, but keeps the result differentiable.
            return semiring.lift(self._nothing() + scores.double().sum((1, 2))).to(scores.dtype)
        each = self._states(scores).unbind(1)  # (B, S) for each step; unbind makes one gradient tensor, not T
        real = self._real()
        here = semiring.lift(lattice.start + each[0])  # (.., B, S) alpha
        for t in range(1, len(each)):
            before = torch.cat([here.new_full((*here.shape[:-1], 2), -torch.inf), here], -1)
            onward = semiring.sum(before.unfold(-1, 3, 1) + lattice.transitions, -1) + each[t]
            here = torch.where(real[:, t, None], onward, here)
        total = semiring.sum(here + lattice.end, -1)
        return torch.where(self._filled(), total, semiring.lift(self._nothing())).to(scores.dtype)

    def score(self, target: Tensor) -> Tensor:
        """(B,) unnormalised log-score of each row's path ``target`` (B, T); -inf if it reads other labels."""
        rows, steps, _ = self.scores.shape
        if target.shape != (rows, steps):
            raise ValueError(f"expected paths of shape {(rows, steps)}, found {tuple(target.shape)}")
        real = self._real()
        path = target.to(self.scores.device).masked_fill(~real, self.blank)
        each = self.scores.gather(2, path.unsqueeze(2)).squeeze(2).double()
        total = torch.where(real, each, 0.0).sum(1)
        return torch.where(self._reads(path), total, -torch.inf).to(self.scores.dtype)

    def log_prob(self, target: Tensor) -> Tensor:
        if self.scores.dtype == torch.float64:
            return super().log_prob(target)
        # In a long row two large numbers nearly cancel.
        return self.with_scores(self.scores.double()).log_prob(target).to(self.scores.dtype)

    def ranked(self, k: int) -> Ranked:
        found = super().ranked(k)
        if self.scores.shape[1] == 0:  # one answer for an empty target
            found.score[:, 0] = self._nothing().to(found.score)
        return found

    def kl(self, other: Structure) -> Tensor:
        """As of any structure; raises ValueError if the targets differ."""
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
            return self.solved()[1]

    def solved(self, *, backward: bool = True) -> tuple[Tensor, Tensor]:
        """log Z (B,) and, if ``backward``, the occupancies (B, T, K), in the scores' type (sections 4.1 and 4.2).

        Backward variables are forward variables of the reversed row, so one scan computes both.
        """
        (scores,), (rows, steps, _) = self._detached(), self.scores.shape
        each = self._states(scores)  # (B, T, S)
        if not backward:
            arrivals = _scan(each, self.lattice)
            return self._total(arrivals, each).to(scores.dtype), scores.new_zeros(0)
        turn = self._turn()
        target = self.target.gather(1, _mirror(self.target_lengths, self.target.shape[1]))
        turned = Lattice.of(target.to(scores.device), self.target_lengths, self.blank)
        both = Lattice(*(torch.cat(pair) for pair in zip(self.lattice, turned, strict=True)))
        arrivals = _scan(torch.cat([each, _turned(each, turn)]), both)  # (2B, T, S)
        log_z = self._total(arrivals[:rows], each)
        # log of alpha beta / y / p, whose sum over a label's states is its share (equations 14 and 15); alpha and beta
        # do not contain the frame's own y.
        found = torch.where(torch.isneginf(log_z), 0.0, log_z).view(-1, 1, 1)
        shares = (arrivals[:rows] + _turned(arrivals[rows:], turn) + each - found).exp()
        real = self._real().unsqueeze(2) & self.lattice.real.unsqueeze(1)
        shares = torch.where(real, shares, 0.0)
        labels = self.lattice.labels.unsqueeze(1).expand(-1, steps, -1)
        occupancies = torch.zeros_like(scores).scatter_add_(2, labels, shares.to(scores.dtype))
        return log_z.to(scores.dtype), occupancies

    def _states(self, scores: Tensor) -> Tensor:
        """(B, T, S) float64 scores of each frame in each state."""
        labels = self.lattice.labels.unsqueeze(1).expand(-1, scores.shape[1], -1)
        return scores.gather(2, labels).double()

    def _total(self, arrivals: Tensor, each: Tensor) -> Tensor:
        """(B,) equation 8, from the results of `_scan` and the scores of the states, both (B, T, S)."""
        row = torch.arange(len(each), device=each.device)
        last = (self.lengths - 1).clamp(min=0).to(each.device)
        total = (arrivals[row, last] + each[row, last] + self.lattice.end).logsumexp(-1)
        return torch.where(self._filled(), total, self._nothing())

    def _turn(self) -> Tensor:
        """(B, T S) index of each frame and state in the reversed row; its own inverse."""
        frames = _mirror(self.lengths, self.scores.shape[1])  # (B, T)
        count = self.lattice.labels.shape[1]
        states = _mirror(2 * self.target_lengths + 1, count)  # (B, S)
        return (frames.unsqueeze(2) * count + states.unsqueeze(1)).flatten(1).to(self.scores.device)

    def _reads(self, path: Tensor) -> Tensor:
        """(B,) whether a path (B, T), blank in the padding, collapses to its row's target."""
        kept = label_starts(path, self.blank)
        # With an extra column of the blank, which equals no label.
        labels = torch.nn.functional.pad(self.target, (0, 1), value=self.blank).to(path.device)
        place = (kept.cumsum(1) - 1).clamp(0, labels.shape[1] - 1)
        right = ~kept | (path == labels.gather(1, place))
        return right.all(1) & (kept.sum(1) == self.target_lengths.to(path.device))

    def _filled(self) -> Tensor:
        """(B,) which rows are not empty."""
        return (self.lengths > 0).to(self.scores.device)

    def _nothing(self) -> Tensor:
        """(B,) float64 log Z of a row without frames: 0 if its target is empty, else -inf."""
        return _forbidding(self.target_lengths == 0).to(self.scores.device)


class _LogPartition(torch.autograd.Function):
    """log Z, whose gradient is the occupancies (with the log-softmax of `Ctc`, equation 16)."""

    @staticmethod
    def forward(ctx: Any, alignments: Alignments, scores: Tensor) -> Tensor:
        log_z, occupancies = alignments.solved(backward=ctx.needs_input_grad[1])
        ctx.alignments = alignments
        ctx.save_for_backward(scores, occupancies)
        return log_z

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        scores, occupancies = ctx.saved_tensors
        if torch.is_grad_enabled():  # double backward: trace torch operations
            again = ctx.alignments.recursion(LogSum(), (scores,))
            return None, torch.autograd.grad(again, scores, upstream, create_graph=True)[0]
        return None, occupancies * upstream[:, None, None]


def _scan(each: Tensor, lattice: Lattice) -> Tensor:
    """(B, T, S) float64 forward variables: log alpha of equation 6 without the frame's own y, from scores (B, T, S)."""
    rows, steps, states = each.shape
    # States before rows, so that neighbouring states are contiguous.
    scored = each.permute(1, 2, 0).contiguous().unbind()  # (S, B) for each step
    arrivals = each.new_empty(steps, states, rows)
    arrivals[0] = lattice.start.T
    into = arrivals.unbind()
    # alpha after two states of -inf
    alpha = each.new_full((states + 2, rows), -torch.inf)
    here, one, two = alpha[2:], alpha[1:-1], alpha[:-2]
    skips, jumped = lattice.transitions[..., 0].T.contiguous(), torch.empty_like(into[0])
    for before, score, behind in zip(into, scored, into[1:], strict=False):
        torch.add(before, score, out=here)
        torch.add(two, skips, out=jumped)
        torch.logaddexp(here, one, out=behind)
        torch.logaddexp(behind, jumped, out=behind)
    return arrivals.permute(2, 0, 1)


def require_frames(scores: Tensor, blank: int) -> None:
    if scores.dim() != 3 or not scores.is_floating_point() or scores.shape[2] == 0:
        raise ValueError(
            f"scores: expected floating-point numbers of shape (rows, frames, labels) with at least one label, "
            f"found {scores.dtype} of shape {tuple(scores.shape)}"
        )
    if not isinstance(blank, int) or isinstance(blank, bool) or not 0 <= blank < scores.shape[2]:
        raise ValueError(f"blank: expected a label from 0 to {scores.shape[2] - 1}, found {blank!r}")


def _cleaned(
    target: Tensor, target_lengths: Tensor | None, rows: int, labels: int, blank: int
) -> tuple[Tensor, Tensor]:
    """Checked targets (B, U), cut to the longest and padded with the blank, and their lengths (B,), on the CPU."""
    if target.dim() != 2 or len(target) != rows or target.is_floating_point() or target.dtype == torch.bool:
        raise ValueError(
            f"target: expected whole numbers of shape ({rows}, labels), "
            f"found {target.dtype} of shape {tuple(target.shape)}"
        )
    target = target.cpu().long()
    if target_lengths is None:
        target_lengths = (target != blank).sum(1)
    else:
        target_lengths = lengths_of(target_lengths, len(target), target.shape[1], name="target_lengths")
    inside = torch.arange(target.shape[1]) < target_lengths.unsqueeze(1)
    wrong = (inside & ((target < 0) | (target >= labels) | (target == blank))).any(1)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"target: expected labels from 0 to {labels - 1}, then nothing but the blank, {blank}; found "
            f"{target[row].tolist()} of length {int(target_lengths[row])} in row {row}"
        )
    longest = int(target_lengths.max()) if rows else 0
    return target.masked_fill(~inside, blank)[:, :longest], target_lengths


def label_starts(path: Tensor, blank: int) -> Tensor:
    """(B, T) which frames begin a label: not blank and not equal to the frame before."""
    before = torch.nn.functional.pad(path, (1, 0), value=blank)[:, :-1]
    return (path != blank) & (path != before)


def _forbidding(allowed: Tensor) -> Tensor:
    """0 where ``allowed``, -inf elsewhere, float64."""
    return torch.zeros(allowed.shape, dtype=torch.float64, device=allowed.device).masked_fill(~allowed, -torch.inf)


def _mirror(lengths: Tensor, steps: int) -> Tensor:
    """(B, ``steps``) the index of each step when the real ones are reversed."""
    step = torch.arange(steps)
    mirrored = lengths.unsqueeze(1) - 1 - step
    return torch.where(mirrored >= 0, mirrored, step)


def _turned(values: Tensor, turn: Tensor) -> Tensor:
    """(B, T, S) in the order of ``turn``."""
    return values.flatten(1).gather(1, turn).view(values.shape)
