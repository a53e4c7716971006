"""Ctc: a distribution over label sequences (Graves, Fernández, Gomez and Schmidhuber 2006), and its beam search.

Equation numbers are those of the paper, "Connectionist temporal classification". The beam search is algorithm 1 of
Hannun et al. 2014, "First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs",
without a language model.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import groupby
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from structseq.structures.base import BeamSearchable, Ranked, checked_lengths, real_steps, require_count
from structseq.structures.lattice import Alignments, label_starts, require_frames

Label = TypeVar("Label", bound=Hashable)


def collapse(path: Iterable[Label], blank: Label) -> list[Label]:
    """The labels of a frame path: merge repeats, then remove blanks (B of section 3.1).

    >>> "".join(collapse("aa-b-bb", blank="-"))
    'abb'
    """
    return [label for label in merge_repeats(path) if label != blank]


def merge_repeats(path: Iterable[Label]) -> list[Label]:
    """A frame path with repeats merged."""
    return [label for label, _ in groupby(path)]


class Ctc(BeamSearchable):
    """The distribution over label sequences of frames that emit labels or the blank independently.

    p(l | x) = sum of prod_t p_t(path_t) over the frame paths that `collapse` to l   (equations 2 and 3)

    p_t is the softmax of frame t's scores; this class computes it.

    A label sequence (target or answer) is (.., U) int64, padded with the blank. If ``target_lengths`` are passed,
    nothing beyond them is read. A target needs one frame for each label, and one more between equal labels; if the row
    has fewer, probability and gradient are 0.

    `best` and `beam` are approximate; `log_prob` gives the exact probability of their answers. Raises ValueError if a
    shape, type, length or label does not fit.

    Parameters
    ----------
    scores: (B, T, K)
        In nats, including the blank. ``-inf`` forbids. Half precision is computed in float32.
    lengths: (B,)
    """

    exact = frozenset({"log_prob", "alignment", "occupancies", "marginals"})

    def __init__(self, scores: Tensor, lengths: Tensor, *, blank: int = 0) -> None:
        require_frames(scores, blank)
        self.scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        self.lengths = checked_lengths(lengths, *scores.shape[:2])
        self.blank = blank

    @property
    def log_probs(self) -> Tensor:
        """(B, T, K) log-softmax of the scores; arbitrary in the padding."""
        # Padding is replaced first: NaN times a zero mask is NaN.
        scores = torch.where(real_steps(self.scores, self.lengths).unsqueeze(2), self.scores, 0.0)
        if not torch.isneginf(scores).any():
            return scores.log_softmax(-1)
        never = torch.isneginf(scores).all(-1, keepdim=True)  # frames without a possible label
        return torch.where(never, -torch.inf, torch.where(never, 0.0, scores).log_softmax(-1))

    def alignments(self, target: Tensor, target_lengths: Tensor | None = None) -> Alignments:
        """The distribution over frame paths that collapse to ``target`` (B, U)."""
        return Alignments(self.log_probs, self.lengths, target, target_lengths, blank=self.blank)

    def log_prob(self, target: Tensor, target_lengths: Tensor | None = None) -> Tensor:
        """(B,) log-probability of ``target`` (B, U), in nats (equation 8)."""
        log_z = self.alignments(target, target_lengths).log_partition()
        return log_z - torch.relu(log_z.detach())  # rounding may exceed 0

    def alignment(self, target: Tensor, target_lengths: Tensor | None = None) -> Ranked:
        """The most probable frame path that collapses to ``target``: path (B, T) and log-probability (B,), 0 and -inf
        if there is none. Ties as in `Alignments`."""
        return self.alignments(target, target_lengths).best()

    def occupancies(self, target: Tensor, target_lengths: Tensor | None = None) -> Tensor:
        """(B, T, K) probability that a frame has a label, given ``target`` (equation 15); zero in the padding and if
        ``target`` is impossible."""
        return self.alignments(target, target_lengths).marginals()

    def marginals(self) -> Tensor:
        """(B, T, K) probability that a frame has a label."""
        probabilities = self.log_probs.detach().exp()
        return torch.where(real_steps(probabilities, self.lengths).unsqueeze(2), probabilities, 0.0)

    def best(self) -> Ranked:
        return self.best_path()

    def best_path(self) -> Ranked:
        """The labels of the most probable frame path (best path decoding, section 3.2); ties go to the lowest label.

        ``path`` (B, T) is padded with the blank; ``score`` (B,) is the log-probability of the frame path, at most
        `log_prob`.
        """
        log_probs, frames = self.log_probs.detach().max(-1)
        real = real_steps(frames, self.lengths)
        frames = frames.masked_fill(~real, self.blank)
        starts, steps = label_starts(frames, self.blank), frames.shape[1]
        column = torch.where(starts, starts.cumsum(1) - 1, steps)  # removed labels go to an extra column
        path = frames.new_full((len(frames), steps + 1), self.blank).scatter_(1, column, frames)[:, :steps]
        return Ranked(path, torch.where(real, log_probs.double(), 0.0).sum(1).to(log_probs.dtype))

    def beam(self, width: int, k: int = 1) -> Ranked:
        """The ``k`` most probable label sequences of a prefix search that keeps ``width`` prefixes after each frame.

        ``path`` (B, k, T) is padded with the blank; ``score`` (B, k) is -inf if fewer were found. The score counts only
        frame paths whose prefixes were kept, so it is at most `log_prob`. Ties between answers go to the lower labels;
        between prefixes to those in the beam, then to the better parent, then to the lower label. Computed on the CPU
        in float64.
        """
        require_count(width, "width")
        require_count(k, "k")
        frames = self.log_probs.detach().double().cpu().numpy().copy()
        # Blanks of probability 1 in the padding keep the scores.
        frames[~real_steps(self.scores, self.lengths).cpu().numpy()] = -np.inf
        frames[..., self.blank][np.arange(frames.shape[1]) >= self.lengths.numpy()[:, None]] = 0.0
        tree = _Prefixes()
        beam = _Beam.initial(len(frames), width, self.blank)
        for t in range(frames.shape[1]):
            beam = beam.advanced(frames[:, t], self.blank, tree)
        path = torch.full((len(frames), k, frames.shape[1]), self.blank)
        score = torch.full((len(frames), k), -torch.inf, dtype=torch.float64)
        for row, answers in enumerate(beam.answers(tree)):
            for rank, (log_prob, labels) in enumerate(answers[:k]):
                path[row, rank, : len(labels)], score[row, rank] = torch.tensor(labels, dtype=torch.int64), log_prob
        return Ranked(path.to(self.scores.device), score.to(self.scores))


class _Prefixes:
    """A tree of numbered label sequences; 0 is the empty sequence."""

    def __init__(self) -> None:
        self.parents, self.labels = [-1], [-1]
        self.numbers: dict[tuple[int, int], int] = {}

    def child(self, parent: int, label: int) -> int:
        number = self.numbers.setdefault((parent, label), len(self.parents))
        if number == len(self.parents):
            self.parents.append(parent)
            self.labels.append(label)
        return number

    def sequence(self, number: int) -> list[int]:
        found = []
        while number > 0:
            found.append(self.labels[number])
            number = self.parents[number]
        return found[::-1]


class _Beam(NamedTuple):
    """W prefixes of each row, all (B, W), best first; log-probabilities are -inf if there are fewer."""

    prefix: np.ndarray  # number in the tree, -1 if missing
    parent: np.ndarray  # number of the prefix without its last label, -2 if missing
    last: np.ndarray  # the last label, or the blank
    on_blank: np.ndarray  # log-probability of its paths that end in a blank
    on_label: np.ndarray  # log-probability of its paths that end in its last label

    @staticmethod
    def initial(rows: int, width: int, blank: int) -> _Beam:
        """The empty prefix, as if after a blank."""
        none, impossible = np.full((rows, width), -1), np.full((rows, width), -np.inf)
        prefix, on_blank = none.copy(), impossible.copy()
        prefix[:, 0], on_blank[:, 0] = 0, 0.0
        return _Beam(prefix, none - 1, np.full_like(none, blank), on_blank, impossible)

    def advanced(self, frame: np.ndarray, blank: int, tree: _Prefixes) -> _Beam:
        """The best W prefixes after one more frame with log-probabilities (B, K)."""
        on_blank, on_label, extended = self._candidates(frame, blank)
        # Candidates: each prefix unchanged, then each extended by each label.
        (rows, width), labels = self.last.shape, frame.shape[1]
        scores = np.concatenate([np.logaddexp(on_blank, on_label), extended.reshape(rows, width * labels)], 1)
        chosen = np.argsort(-scores, axis=1, kind="stable")[:, :width]
        stays = chosen < width
        source = np.where(stays, chosen, (chosen - width) // labels)
        score = np.take_along_axis(scores, chosen, 1)
        source_prefix, parent, last, on_blank, on_label = (
            np.take_along_axis(part, source, 1) for part in (self.prefix, self.parent, self.last, on_blank, on_label)
        )
        prefix, last = source_prefix.copy(), np.where(stays, last, (chosen - width) % labels)
        for place in zip(*np.nonzero(~stays & (score > -np.inf)), strict=True):
            prefix[place] = tree.child(int(source_prefix[place]), int(last[place]))
        on_blank, on_label = np.where(stays, on_blank, -np.inf), np.where(stays, on_label, score)
        parts = (prefix, np.where(stays, parent, source_prefix), last, on_blank, on_label)
        missing = (-1, -2, blank, -np.inf, -np.inf)
        return _Beam(*(np.where(score == -np.inf, default, part) for default, part in zip(missing, parts, strict=True)))

    def _candidates(self, frame: np.ndarray, blank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log-probabilities after a frame: of prefixes that end in a blank and in their label (B, W), and of extensions
        (B, W, K)."""
        total = np.logaddexp(self.on_blank, self.on_label)
        repeated = np.take_along_axis(frame, self.last, 1)
        on_blank, on_label = total + frame[:, blank, None], self.on_label + repeated
        extended = total[:, :, None] + frame[:, None, :]
        # To repeat the last label, a blank is needed between.
        np.put_along_axis(extended, self.last[:, :, None], (self.on_blank + repeated)[:, :, None], 2)
        extended[:, :, blank] = -np.inf
        # An extension that is already in the beam adds to that prefix.
        row, child, parent = np.nonzero(self.parent[:, :, None] == self.prefix[:, None, :])
        label = self.last[row, child]
        on_label[row, child] = np.logaddexp(on_label[row, child], extended[row, parent, label])
        extended[row, parent, label] = -np.inf
        return on_blank, on_label, extended

    def answers(self, tree: _Prefixes) -> list[list[tuple[float, list[int]]]]:
        """Log-probability and labels of each row's prefixes, best first, ties by labels."""
        scores = np.logaddexp(self.on_blank, self.on_label).tolist()
        found = [
            [(score, tree.sequence(number)) for score, number in zip(row, numbers, strict=True) if number >= 0]
            for row, numbers in zip(scores, self.prefix.tolist(), strict=True)
        ]
        return [sorted(row, key=lambda answer: (-answer[0], answer[1])) for row in found]
