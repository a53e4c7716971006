"""Ctc: label sequences that are shorter than their frames, and the search for the best of them.

Graves, Fernández, Gomez and Schmidhuber 2006, "Connectionist temporal classification"; equation numbers are theirs. The
search is bounded as by Hannun et al. 2014, "First-pass large vocabulary continuous speech recognition using
bi-directional recurrent DNNs", algorithm 1, without a language model.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import groupby
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from structseq.structures.base import Ranked, Searched, lengths_of, real_steps, require_count
from structseq.structures.lattice import Alignments, label_starts, require_frames

Label = TypeVar("Label", bound=Hashable)


def collapse(path: Iterable[Label], blank: Label) -> list[Label]:
    """The labels of a frame path: merge repeats, then remove blanks (B of section 3.1).

    >>> "".join(collapse("好好-棒-棒棒", "-")), "".join(collapse("好好-棒棒棒棒", "-"))
    ('好棒棒', '好棒')
    """
    return [label for label in trim(path) if label != blank]


def trim(path: Iterable[Label]) -> list[Label]:
    """A frame path with repeats merged: `collapse` without a blank, which cannot give a label twice in a row.

    >>> "".join(trim("好好棒棒棒"))
    '好棒'
    """
    return [label for label, _ in groupby(path)]


class Ctc(Searched):
    """A distribution over label sequences: each frame draws a label or the blank independently; `collapse` reads them.

    p(l | x) = sum over the frame paths that collapse to l, of prod_t p_t(path_t)   (equations 2 and 3)

    where p_t is the softmax of a frame's scores, which this class computes.

    A label sequence (target or answer) is (.., U) int64, padded with the blank, as `pad_targets` makes it with blank 0.
    If ``target_lengths`` are passed, nothing beyond them is read. A target that needs more frames than its row has (one
    for each label, one more between equal labels) has probability 0 and gradient 0.

    `best` and `beam` are approximate: the best sequence needs a sum over its paths inside a maximum, so this is not a
    `Structure`. Their exact probability is `log_prob`, which uses `Alignments`. Raises ValueError if a shape, a type, a
    length or a label does not fit.

    Parameters
    ----------
    scores: (B, T, K)
        Of K labels, including the blank, in nats. Half precision is computed in float32. ``-inf`` forbids.
    lengths: (B,)
        Number of frames of each row; what lies beyond is never read.

    Examples
    --------
    >>> frames = torch.tensor([[[0.6, 0.4], [0.6, 0.4]]]).log()
    >>> ctc = Ctc(frames, torch.tensor([2]))
    >>> ctc.best_path().path.tolist()  # the best single path is blank, blank
    [[0, 0]]
    >>> found = ctc.beam(width=4, k=2)  # three paths read 1 and are more probable together
    >>> found.path.tolist(), [round(float(p), 2) for p in found.score[0].exp()]
    ([[[1, 0], [0, 0]]], [0.64, 0.36])
    >>> round(float(ctc.log_prob(torch.tensor([[1]])).exp()), 2)
    0.64
    """

    exact = frozenset({"log_prob", "alignment", "occupancies", "marginals"})

    def __init__(self, scores: Tensor, lengths: Tensor, *, blank: int = 0) -> None:
        require_frames(scores, blank)
        self.scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        self.lengths = lengths_of(lengths, *scores.shape[:2])
        self.blank = blank

    @property
    def log_probs(self) -> Tensor:
        """(B, T, K) log-probabilities of each frame's labels; arbitrary in the padding."""
        # Padding is replaced first: NaN times a zero mask is NaN.
        scores = torch.where(real_steps(self.scores, self.lengths).unsqueeze(2), self.scores, 0.0)
        if not torch.isneginf(scores).any():
            return scores.log_softmax(-1)
        never = torch.isneginf(scores).all(-1, keepdim=True)  # frames without a possible label
        return torch.where(never, -torch.inf, torch.where(never, 0.0, scores).log_softmax(-1))

    def alignments(self, target: Tensor, target_lengths: Tensor | None = None) -> Alignments:
        """The distribution over the frame paths of each row that read ``target`` (B, U)."""
        return Alignments(self.log_probs, self.lengths, target, target_lengths, blank=self.blank)

    def log_prob(self, target: Tensor, target_lengths: Tensor | None = None) -> Tensor:
        """(B,) log-probability of each row's ``target`` (B, U), in nats (equation 8); -inf with gradient 0 if it needs
        more frames. Raises ValueError for an invalid ``target``."""
        found = self.alignments(target, target_lengths).log_partition()
        return found - torch.relu(found.detach())  # rounding may exceed 0

    def alignment(self, target: Tensor, target_lengths: Tensor | None = None) -> Ranked:
        """The most probable frame path of each row that reads ``target``: path (B, T) and log-probability (B,); 0 and
        -inf if none exists. Ties as in `Alignments`."""
        return self.alignments(target, target_lengths).best()

    def occupancies(self, target: Tensor, target_lengths: Tensor | None = None) -> Tensor:
        """(B, T, K) probability that a frame has a label, given that the row reads ``target`` (the sum of equation 15,
        over p); zero in the padding and for an impossible target."""
        return self.alignments(target, target_lengths).marginals()

    def marginals(self) -> Tensor:
        """(B, T, K) probability that a frame has a label: its softmax; zero in the padding."""
        found = self.log_probs.detach().exp()
        return torch.where(real_steps(found, self.lengths).unsqueeze(2), found, 0.0)

    def best(self) -> Ranked:
        return self.best_path()

    def best_path(self) -> Ranked:
        """The labels that the most probable frame path reads (best path decoding, section 3.2): ``path`` (B, T), padded
        with the blank; ``score`` is the log-probability of that one frame path, at most `log_prob`. Ties go to the
        lowest label."""
        chances, frames = self.log_probs.detach().max(-1)
        real = real_steps(frames, self.lengths)
        frames = frames.masked_fill(~real, self.blank)
        kept, steps = label_starts(frames, self.blank), frames.shape[1]
        place = torch.where(kept, kept.cumsum(1) - 1, steps)  # removed labels go to an extra column
        path = frames.new_full((len(frames), steps + 1), self.blank).scatter_(1, place, frames)[:, :steps]
        return Ranked(path, torch.where(real, chances.double(), 0.0).sum(1).to(chances.dtype))

    def beam(self, width: int, k: int = 1) -> Ranked:
        """The ``k`` most probable label sequences of a prefix search that keeps ``width`` prefixes after each frame.

        ``path`` (B, k, T) is padded with the blank; if fewer were found, ``score`` (B, k) is -inf. The score is the log
        of the total probability of the answer's paths all of whose prefixes were kept: at most `log_prob`, and equal to
        it if the beam holds all sequences. Ties between answers go to the lower labels; between prefixes to those
        already in the beam, then to the better parent, then to the lower label. Computed on the CPU in float64.
        """
        require_count(width, "width")
        require_count(k, "k")
        frames = self.log_probs.detach().double().cpu().numpy().copy()
        # In the padding, blanks of probability 1 change nothing.
        frames[~real_steps(self.scores, self.lengths).cpu().numpy()] = -np.inf
        frames[..., self.blank][np.arange(frames.shape[1]) >= self.lengths.numpy()[:, None]] = 0.0
        tree = _Prefixes()
        beam = _Beam.empty(len(frames), width, self.blank)
        for t in range(frames.shape[1]):
            beam = beam.onward(frames[:, t], self.blank, tree)
        path = torch.full((len(frames), k, frames.shape[1]), self.blank)
        score = torch.full((len(frames), k), -torch.inf, dtype=torch.float64)
        for row, answers in enumerate(beam.answers(tree)):
            for rank, (log_prob, labels) in enumerate(answers[:k]):
                path[row, rank, : len(labels)], score[row, rank] = torch.tensor(labels, dtype=torch.int64), log_prob
        return Ranked(path.to(self.scores.device), score.to(self.scores))


class _Prefixes:
    """A tree of numbered label sequences: 0 is empty, every other extends its parent by one label."""

    def __init__(self) -> None:
        self.parents, self.labels = [-1], [-1]
        self.numbers: dict[tuple[int, int], int] = {}

    def grown(self, parent: int, label: int) -> int:
        """The number of ``parent`` extended by ``label``."""
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
    """W different prefixes of each row, all (B, W), best first; log-probabilities are -inf if there are fewer."""

    prefix: np.ndarray  # number in the tree, -1 for none
    parent: np.ndarray  # number of the prefix without its last label, -2 for none
    last: np.ndarray  # the last label, the blank for none
    on_blank: np.ndarray  # log-probability of its paths that end in a blank
    on_label: np.ndarray  # log-probability of its paths that end in its last label

    @staticmethod
    def empty(rows: int, width: int, blank: int) -> _Beam:
        """Before the first frame: the empty prefix, as if after a blank."""
        whole, never = np.full((rows, width), -1), np.full((rows, width), -np.inf)
        prefix, on_blank = whole.copy(), never.copy()
        prefix[:, 0], on_blank[:, 0] = 0, 0.0
        return _Beam(prefix, whole - 1, np.full_like(whole, blank), on_blank, never)

    def onward(self, frame: np.ndarray, blank: int, tree: _Prefixes) -> _Beam:
        """The best W prefixes after one more frame, of log-probabilities (B, K)."""
        on_blank, on_label, grown = self._extended(frame, blank)
        # Candidates: each prefix unchanged, then each extended by each label.
        (rows, width), labels = self.last.shape, frame.shape[1]
        scores = np.concatenate([np.logaddexp(on_blank, on_label), grown.reshape(rows, width * labels)], 1)
        chosen = np.argsort(-scores, axis=1, kind="stable")[:, :width]
        stays = chosen < width
        source = np.where(stays, chosen, (chosen - width) // labels)
        score = np.take_along_axis(scores, chosen, 1)
        own, parent, last, on_blank, on_label = (
            np.take_along_axis(part, source, 1) for part in (self.prefix, self.parent, self.last, on_blank, on_label)
        )
        prefix, last = own.copy(), np.where(stays, last, (chosen - width) % labels)
        for place in zip(*np.nonzero(~stays & (score > -np.inf)), strict=True):
            prefix[place] = tree.grown(int(own[place]), int(last[place]))
        on_blank, on_label = np.where(stays, on_blank, -np.inf), np.where(stays, on_label, score)
        found = (prefix, np.where(stays, parent, own), last, on_blank, on_label)
        filler = (-1, -2, blank, -np.inf, -np.inf)
        return _Beam(*(np.where(score == -np.inf, no, part) for no, part in zip(filler, found, strict=True)))

    def _extended(self, frame: np.ndarray, blank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log-probabilities after a frame: of each prefix on a blank and on its label (B, W), and of each extension
        (B, W, K). An extension that is already in the beam is added to that prefix instead."""
        total = np.logaddexp(self.on_blank, self.on_label)
        repeated = np.take_along_axis(frame, self.last, 1)
        on_blank, on_label = total + frame[:, blank, None], self.on_label + repeated
        grown = total[:, :, None] + frame[:, None, :]
        # A repeated label needs a blank in between.
        np.put_along_axis(grown, self.last[:, :, None], (self.on_blank + repeated)[:, :, None], 2)
        grown[:, :, blank] = -np.inf
        row, child, parent = np.nonzero(self.parent[:, :, None] == self.prefix[:, None, :])
        label = self.last[row, child]
        on_label[row, child] = np.logaddexp(on_label[row, child], grown[row, parent, label])
        grown[row, parent, label] = -np.inf
        return on_blank, on_label, grown

    def answers(self, tree: _Prefixes) -> list[list[tuple[float, list[int]]]]:
        """Log-probability and labels of each row's prefixes, best first, then by labels."""
        scores = np.logaddexp(self.on_blank, self.on_label).tolist()
        found = [
            [(score, tree.sequence(number)) for score, number in zip(row, numbers, strict=True) if number >= 0]
            for row, numbers in zip(scores, self.prefix.tolist(), strict=True)
        ]
        return [sorted(row, key=lambda answer: (-answer[0], answer[1])) for row in found]
