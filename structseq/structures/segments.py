"""SemiMarkov: a distribution over labelled segmentations (Sarawagi and Cohen 2004, "Semi-Markov conditional random
fields for information extraction")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from structseq.structures.base import Semiring, Structure, checked_lengths, checked_table, real_steps, require_count


class Segment(NamedTuple):
    """Tokens from ``start`` up to, not including, ``end``, and their label."""

    start: int
    end: int
    label: int


class SemiMarkov(Structure):
    """The distribution over segmentations of each row into labelled segments of 1 to S tokens.

    score(y) = start[y_1] + sum_i scores[t_i, l_i - 1, y_i] + sum_i transitions[y_{i-1}, y_i] + end[y_n]

    where the i-th of n segments begins at token t_i, is l_i tokens long and has the label y_i.

    A segmentation (target or answer) is (B, T) int64: ``(length - 1) * K + label`` at the first token of each segment,
    -1 at its other tokens, 0 in the padding of an answer; `path_of` and `segments_of` convert. A row without possible
    answers has path 0 and score -inf.

    Ties go to the lowest label of the first segment, then to the shortest first segment, then to the second segment
    likewise. Recursions run in float64. Time and memory are O(B T K (S + K)). Raises ValueError if a shape or type does
    not fit.

    Parameters
    ----------
    scores: (B, T, S, K)
        Of the segment of s + 1 tokens that begins at t with label k; not read if the segment exceeds its row.
    transitions: (K, K) [from, to], or (B, K, K) for each row (B may be 1)
    start, end: (K,), or (B, K) for each row

    Examples
    --------
    >>> scores = torch.zeros(1, 3, 2, 2)
    >>> scores[0, 1, 1, 1] = 2.0  # tokens 1 and 2, label 1
    >>> segments = SemiMarkov(scores, torch.zeros(2, 2), torch.zeros(2), torch.zeros(2), torch.tensor([3]))
    >>> segments.best().path.tolist()
    [[0, 3, -1]]
    """

    exact = Structure.exact | {"tag_marginals"}

    def __init__(
        self, scores: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor, *,
        calibrated: bool = True,
    ) -> None:  # fmt: skip
        if scores.dim() != 4 or not scores.is_floating_point() or 0 in scores.shape[2:]:
            raise ValueError(
                f"scores: expected floating-point numbers of shape (rows, steps, lengths, labels) with at least one "
                f"length and one label, found {scores.dtype} of shape {tuple(scores.shape)}"
            )
        rows, steps, _, tags = scores.shape
        at_least = torch.promote_types(scores.dtype, torch.float32)
        self.scores = scores.to(at_least)
        self.lengths = checked_lengths(lengths, rows, steps)
        self.transitions = checked_table(transitions, "transitions", rows, (tags, tags)).to(at_least)
        self.start = checked_table(start, "start", rows, (tags,)).to(at_least)
        self.end = checked_table(end, "end", rows, (tags,)).to(at_least)
        self.calibrated = calibrated

    @classmethod
    def of_tokens(
        cls, emissions: Tensor, max_length: int, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor, *,
        length_scores: Tensor | None = None, calibrated: bool = True,
    ) -> SemiMarkov:  # fmt: skip
        """Segments of at most ``max_length`` tokens, scored by the sum of their ``emissions`` (B, T, K) and
        ``length_scores`` (S, K) or (B, S, K)."""
        require_count(max_length, "max_length")
        if emissions.dim() != 3 or not emissions.is_floating_point():
            raise ValueError(
                f"emissions: expected floating-point numbers of shape (rows, steps, labels), "
                f"found {emissions.dtype} of shape {tuple(emissions.shape)}"
            )
        rows, steps, tags = emissions.shape
        real = real_steps(emissions, checked_lengths(lengths, rows, steps))
        known = torch.where(real.unsqueeze(2), emissions.double(), 0.0)  # (B, T, K)
        # A prefix sum for each window avoids differences of large sums; -inf stays -inf.
        windows = torch.cat([known, known.new_zeros(rows, max_length, tags)], 1).unfold(1, max_length, 1)[:, :steps]
        scores = windows.cumsum(3).transpose(2, 3)  # (B, T, S, K)
        if length_scores is not None:
            scores = scores + checked_table(length_scores, "length_scores", rows, (max_length, tags)).unsqueeze(1)
        at_least = torch.promote_types(emissions.dtype, torch.float32)
        return cls(scores.to(at_least), transitions, start, end, lengths, calibrated=calibrated)

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """Scores, -inf for segments that exceed their row, transitions (1|B, K, K), start and end (1|B, K)."""
        steps, longest = self.scores.shape[1:3]
        last = torch.arange(steps).unsqueeze(1) + torch.arange(longest)  # (T, S) a segment's last token
        fits = (last < self.lengths.view(-1, 1, 1)).unsqueeze(3).to(self.scores.device)
        # Replaced, not multiplied by a mask: NaN times 0 is NaN.
        return torch.where(fits, self.scores, -torch.inf), self.transitions, self.start, self.end

    def with_weights(self, weights: tuple[Tensor, ...]) -> SemiMarkov:
        scores, transitions, start, end = weights
        return SemiMarkov(scores, transitions, start, end, self.lengths, calibrated=self.calibrated)

    def recursion(self, semiring: Semiring, weights: tuple[Tensor, ...]) -> Tensor:
        scores, transitions, start, end = (part.double() for part in weights)
        rows, steps, longest, _ = scores.shape
        if steps == 0:
            # The sum is 0, but keeps the result differentiable.
            return semiring.lift(scores.sum((1, 2, 3))).to(weights[0].dtype)
        lengths, ending = self.lengths.to(scores.device).unsqueeze(1), set(self.lengths.tolist())
        closed = semiring.lift(end.expand(rows, -1))  # (.., B, K) after a row's last segment
        impossible = torch.full_like(closed, -torch.inf)
        # From right to left. ahead[.., s, k] sums all continuations of a segment with label k that begins at t and has
        # s + 1 tokens; -inf beyond a row's length.
        ahead = torch.stack([torch.where(lengths == steps, closed, impossible)] + [impossible] * (longest - 1), -2)
        # The gradient of unbind is one tensor, that of indexing one of this size for each step.
        step_scores = scores.unbind(1)
        for t in range(steps - 1, 0, -1):
            from_here = semiring.sum(step_scores[t] + ahead, -2)  # (.., B, K) from t on, if its segment has label k
            after = semiring.sum(transitions + from_here.unsqueeze(-2), -1)  # (.., B, K) from t on, after label k
            if t in ending:
                after = torch.where(lengths == t, closed, after)
            ahead = torch.cat([after.unsqueeze(-2), ahead[..., :-1, :]], -2)
        total = semiring.sum(start + semiring.sum(step_scores[0] + ahead, -2), -1)
        return torch.where(lengths.squeeze(1) == 0, semiring.lift(scores.new_zeros(rows)), total).to(weights[0].dtype)

    def score(self, target: Tensor) -> Tensor:
        """(B,) unnormalised log-score of ``target`` (B, T); raises ValueError if it is not a segmentation."""
        return self._score(target).to(self.scores.dtype)

    def log_prob(self, target: Tensor) -> Tensor:
        # In float64: two large numbers nearly cancel.
        return (self._score(target) - self._log_z()).clamp(max=0).to(self.scores.dtype)

    def _score(self, target: Tensor) -> Tensor:
        """`score` in float64."""
        rows, steps, longest, tags = self.scores.shape
        if target.shape != (rows, steps):
            raise ValueError(f"expected a target of shape {(rows, steps)}, found {tuple(target.shape)}")
        total = self.scores.new_zeros(rows, dtype=torch.float64)
        if steps == 0:
            return total
        target, lengths = target.to(self.scores.device), self.lengths.to(self.scores.device)
        begins, heads = _segment_starts(target, lengths, tags, longest)
        code = target.long().masked_fill(~begins, 0)  # (B, T)
        label = (code % tags).gather(1, heads)  # (B, T) of each token's segment
        row = torch.arange(rows, device=target.device)
        segment_scores = self.scores.flatten(2).gather(2, code.unsqueeze(2)).squeeze(2).double()
        total = total + torch.where(begins, segment_scores, 0.0).sum(1)
        transitions = self.transitions.expand(rows, -1, -1)[row.unsqueeze(1), label[:, :-1], label[:, 1:]]  # (B, T-1)
        total = total + torch.where(begins[:, 1:], transitions.double(), 0.0).sum(1)
        start, end = (part.expand(rows, -1).double() for part in (self.start, self.end))
        edges = start[row, label[:, 0]] + end[row, label[:, -1]]
        return total + torch.where(lengths > 0, edges, 0.0)

    def _path(self, marks: Tensor) -> Tensor:
        highest, code = marks.flatten(-2).max(-1)  # (B, T)
        begins = highest > 0
        inside = self._real() & begins.any(1, keepdim=True)
        return torch.where(begins, code, torch.where(inside, -1, 0))

    def tag_marginals(self) -> Tensor:
        """(B, T, K) probability that a token is in a segment with a label; zero in the padding."""
        marginals = self.marginals()
        steps, longest = marginals.shape[1:3]
        # (B, T, S, K) a segment begins at t and has more than s tokens. Sums, not differences, keep 0 exact.
        covering = marginals.flip(2).cumsum(2).flip(2)
        found = torch.zeros_like(covering[:, :, 0])
        for s in range(min(steps, longest)):
            found[:, s:] += covering[:, : steps - s, s]
        return found.clamp(max=1)


def segments_of(path: Tensor, lengths: Tensor, tags: int) -> list[list[Segment]]:
    """Each row's segments from a `SemiMarkov` path (B, T) over ``tags`` labels; raises ValueError if it is invalid."""
    require_count(tags, "tags")
    if path.dim() != 2:
        raise ValueError(f"expected a path of shape (rows, steps), found {tuple(path.shape)}")
    path = path.cpu()
    begins, _ = _segment_starts(path, checked_lengths(lengths, *path.shape), tags)
    found: list[list[Segment]] = [[] for _ in path]
    for row, start in begins.nonzero().tolist():
        length, label = divmod(int(path[row, start]), tags)
        found[row].append(Segment(start, start + length + 1, label))
    return found


def path_of(segments: Sequence[Sequence[tuple[int, int, int]]], steps: int, tags: int) -> Tensor:
    """(B, ``steps``) `SemiMarkov` path over ``tags`` labels from each row's segments (start, end, label) in order.

    Raises ValueError for gaps, overlaps and invalid segments.
    """
    path = torch.zeros(len(segments), steps, dtype=torch.int64)
    for row, parts in enumerate(segments):
        reached = 0
        for start, end, label in parts:
            if not (start == reached < end <= steps and 0 <= label < tags):
                raise ValueError(
                    f"segments of row {row}: expected (start, end, label) with start {reached}, an end from "
                    f"{reached + 1} to {steps} and a label below {tags}, found {(start, end, label)}"
                )
            path[row, start] = (end - start - 1) * tags + label
            path[row, start + 1 : end] = -1
            reached = end
    return path


def _segment_starts(path: Tensor, lengths: Tensor, tags: int, longest: int | None = None) -> tuple[Tensor, Tensor]:
    """Booleans (B, T) where segments begin, and each token's index (B, T) of its segment's first token; raises
    ValueError if ``path`` is not a segmentation."""
    if path.is_floating_point() or path.is_complex() or path.dtype == torch.bool:
        raise ValueError(f"expected a segmentation of integers, found {path.dtype}")
    path = path.long()
    token, real = torch.arange(path.shape[1], device=path.device).expand(path.shape), real_steps(path, lengths)
    begins = real & (path >= 0)
    heads = torch.where(begins, token, 0).cummax(1).values if path.numel() else token
    # (B, T) the exclusive end of each token's segment
    segment_end = heads + path.gather(1, heads).clamp(min=-1) // tags + 1
    previous_end = torch.cat([torch.zeros_like(segment_end[:, :1]), segment_end[:, :-1]], 1)
    valid = torch.where(begins, previous_end == token, (path == -1) & (token < segment_end))
    valid &= (token < lengths.unsqueeze(1) - 1) | (segment_end == lengths.unsqueeze(1))
    if longest is not None:
        valid &= path < longest * tags
    wrong = (real & ~valid).any(1)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        at_most = "" if longest is None else f" of at most {longest}"
        raise ValueError(
            f"row {row}: expected {int(lengths[row])} tokens cut into segments{at_most}, with (length - 1) * {tags} + "
            f"label at the first token of each and -1 at the others, found {path[row, : int(lengths[row])].tolist()}"
        )
    return begins, heads
