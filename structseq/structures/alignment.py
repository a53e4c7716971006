"""Ctc: label sequences shorter than their frames, and the alignments of one such sequence to the frames (Graves,
Fernández, Gomez and Schmidhuber 2006, "Connectionist temporal classification"; equations are numbered as there)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from structseq.structures.base import LogSum, Ranked, Searched, Semiring, Structure, lengths_of, require_count

Label = TypeVar("Label", bound=Hashable)


def collapse(path: Iterable[Label], blank: Label) -> list[Label]:
    """The labels that a frame path stands for: repeats become one, then blanks are taken out (B of section 3.1).

    >>> "".join(collapse("好好-棒-棒棒", "-")), "".join(collapse("好好-棒棒棒棒", "-"))
    ('好棒棒', '好棒')
    """
    return [label for label in trim(path) if label != blank]


def trim(path: Iterable[Label]) -> list[Label]:
    """A frame path with its repeats made one, where no label is a blank.

    It is what is left of `collapse` without a blank, and it cannot answer the same label twice in a row: no path of
    labels trims to 好棒棒.

    >>> "".join(trim("好好棒棒棒"))
    '好棒'
    """
    return [label for label, _ in groupby(path)]


class Ctc(Searched):
    """A distribution over label sequences: each frame draws a label or the blank on its own, and `collapse` reads them.

    p(l | x) = sum over the frame paths that collapse to l, of prod_t p_t(path_t)   (equations 2 and 3)

    where p_t is the softmax of a frame's scores. The class takes that softmax itself: what scores of one frame have in
    common changes nothing.

    A label sequence, as a target and as an answer, is (.., U) int64 with the blank beyond its end, so that it needs no
    lengths: no label is the blank. With blank 0 that is what `pad_targets` makes of lists of labels. Where
    ``target_lengths`` come with a target they decide, and what lies beyond them is never read. A target that its row's
    frames cannot hold (one frame for each label, one more between two equal ones) has probability 0 and gradient 0.

    It is no `Structure`: the paths of one label sequence add up and of all sequences the best is wanted, and no
    recursion over one semiring does both. So `best` is approximate. The alignments of a given sequence to the frames
    are one, `Alignments`, and all that is exact here is asked of it.

    Verbs named in `exact` are exact. `best` (`best_path`) may miss the most probable sequence, and `beam` may miss some
    of the paths of what it answers; both may be asked `log_prob` for the truth.

    Parameters
    ----------
    scores: (B, T, K)
        Of K labels, the blank among them, in nats. Half precision is computed in float32. ``-inf`` forbids: probability
        exactly 0, gradient exactly 0.
    lengths: (B,)
        True number of frames of each row; what lies beyond is never read.
    blank:
        The label that stands for none.

    Raises
    ------
    ValueError
        Where a shape, a type, a length or a label does not fit.

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
        _require_frames(scores, blank)
        self.scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        self.lengths = lengths_of(lengths, *scores.shape[:2])
        self.blank = blank

    @property
    def log_probs(self) -> Tensor:
        """(B, T, K) log-probabilities of each frame's labels; what lies beyond a row's length means nothing."""
        # Padding is replaced before any arithmetic: a NaN times a zero mask would still be a NaN.
        scores = torch.where(_real(self.scores, self.lengths).unsqueeze(2), self.scores, 0.0)
        if not torch.isneginf(scores).any():
            return scores.log_softmax(-1)
        never = torch.isneginf(scores).all(-1, keepdim=True)  # a frame in which nothing is possible
        return torch.where(never, -torch.inf, torch.where(never, 0.0, scores).log_softmax(-1))

    # -- exact --------------------------------------------------------------------------------------------------------

    def alignments(self, target: Tensor, target_lengths: Tensor | None = None) -> Alignments:
        """The frame paths of each row that read ``target`` (B, U), as a structure of their own."""
        return Alignments(self.log_probs, self.lengths, target, target_lengths, blank=self.blank)

    def log_prob(self, target: Tensor, target_lengths: Tensor | None = None) -> Tensor:
        """(B,) log-probability of each row's ``target`` (B, U), in nats (equation 8); -inf with gradient 0 where its
        frames cannot hold it. Raises ValueError where ``target`` is no label sequence."""
        found = self.alignments(target, target_lengths).log_partition()
        return found - torch.relu(found.detach())  # what rounding put above 0

    def alignment(self, target: Tensor, target_lengths: Tensor | None = None) -> Ranked:
        """The most probable frame path of each row that reads ``target``: path (B, T) with its log-probability (B,), 0
        and -inf where there is none. Of equals, the one that is least far in the target at the last frame, then at the
        frame before it, and so on."""
        return self.alignments(target, target_lengths).best()

    def occupancies(self, target: Tensor, target_lengths: Tensor | None = None) -> Tensor:
        """(B, T, K) probability that a frame bears a label, given that the row reads ``target``; zero beyond its length
        and where the frames cannot hold the target (the sum of equation 15, over p)."""
        return self.alignments(target, target_lengths).marginals()

    def marginals(self) -> Tensor:
        """(B, T, K) probability that a frame bears a label, whatever the row reads: its softmax; zero beyond each row's
        length."""
        found = self.log_probs.detach().exp()
        return torch.where(_real(found, self.lengths).unsqueeze(2), found, 0.0)

    # -- searched -----------------------------------------------------------------------------------------------------

    def best(self) -> Ranked:
        return self.best_path()

    def best_path(self) -> Ranked:
        """What the most probable label of each frame reads (best path decoding, section 3.2): approximate, because
        another sequence can have more paths. Of equal labels the lowest.

        ``path`` is (B, T), blank beyond its end; its ``score`` is the log-probability of that one frame path, and never
        more than its `log_prob`.
        """
        chances, frames = self.log_probs.detach().max(-1)
        real = _real(frames, self.lengths)
        frames = frames.masked_fill(~real, self.blank)
        kept, steps = _kept(frames, self.blank), frames.shape[1]
        place = torch.where(kept, kept.cumsum(1) - 1, steps)  # all that is taken out goes to a place of its own
        path = frames.new_full((len(frames), steps + 1), self.blank).scatter_(1, place, frames)[:, :steps]
        return Ranked(path, torch.where(real, chances.double(), 0.0).sum(1).to(chances.dtype))

    def beam(self, width: int, k: int = 1) -> Ranked:
        """The ``k`` most probable label sequences that a search finds which keeps ``width`` prefixes after each frame
        (prefix search, section 3.2, bounded as by Hannun et al. 2014, "First-pass large vocabulary continuous speech
        recognition using bi-directional recurrent DNNs", algorithm 1, without a language model).

        ``path`` (B, k, T) is blank beyond its end and wherever fewer were found, where the ``score`` (B, k) is -inf.
        The score is the log of the total probability of those of the answer's paths all of whose prefixes were kept: it
        is never more than `log_prob`, and equal to it where the beam is as wide as there are sequences.

        Of equal answers the lower stands first, compared label by label; of equal prefixes those are kept that were
        already there, then those that grew from a better one, then those that grew by a lower label. Computed on the
        CPU in float64.
        """
        require_count(width, "width")
        require_count(k, "k")
        frames = self.log_probs.detach().double().cpu().numpy().copy()
        # Beyond its row a frame is surely blank, and changes nothing.
        frames[~_real(self.scores, self.lengths).cpu().numpy()] = -np.inf
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


# -- the paths of one label sequence ----------------------------------------------------------------------------------


class Lattice(NamedTuple):
    """Each row's target with a blank before, between and behind its labels: S = 2U + 1 states (l' of section 4.1)."""

    labels: Tensor  # (B, S) what a frame bears in each state; blank in the padding
    real: Tensor  # (B, S) which states are no padding; nothing leads back from padding
    moves: Tensor  # (B, S, 3) 0 where a state may follow the one two before it, the one before it, itself; else -inf
    opens: Tensor  # (B, S) 0 where a path may begin, else -inf
    closes: Tensor  # (B, S) 0 where it may end, else -inf

    @staticmethod
    def of(target: Tensor, target_lengths: Tensor, blank: int) -> Lattice:
        """From targets (B, U) with blank beyond their lengths."""
        rows, most = target.shape
        labels = target.new_full((rows, 2 * most + 1), blank)
        labels[:, 1::2] = target
        state = torch.arange(labels.shape[1], device=target.device)
        # Over a blank, from one label to another label (the two cases of equation 6).
        skips = labels != blank
        skips[:, :2] = False
        skips[:, 2:] &= labels[:, 2:] != labels[:, :-2]
        moves = torch.stack([skips, (state > 0).expand_as(skips), torch.ones_like(skips)], 2)
        last = 2 * target_lengths.to(target.device).unsqueeze(1)
        real = state <= last
        opens, closes = (state < 2) & real, (state >= last - 1) & real
        return Lattice(labels, real, _forbidding(moves), _forbidding(opens), _forbidding(closes))


class Alignments(Structure):
    """A distribution over the frame paths that `collapse` to each row's target; p(path) is proportional to exp(score).

    score(path) = sum_t scores[t, path_t], and -inf for a path that reads anything else

    Where the scores are log-probabilities (as of `Ctc.alignments`), log Z is the target's own log-probability, and the
    verbs tell of its paths: `best` is the alignment, `marginals` are the occupancies, and `ranked`, `sample`,
    `entropy` and the others answer for alignments alike. A path is (B, T) int64, 0 beyond each row's length.

    A path goes through the states of `Lattice`, of which it stays in one, takes the next, or leaves out a blank between
    two different labels; no two ways through them read the same frames. Of equally good paths that one is the best
    whose last state is lowest, then the one before it, and so on; `ranked` keeps that order too.

    Recursions run in logarithms and float64. Time and memory are O(B T (K + U)).

    Parameters
    ----------
    scores: (B, T, K)
        In nats. Half precision is computed in float32. ``-inf`` forbids.
    lengths: (B,)
        True number of frames; what lies beyond is never read.
    target: (B, U)
        Labels, the blank beyond their end.
    target_lengths: (B,)
        Where the targets end, if they say it not themselves; what lies beyond is then never read.

    Raises
    ------
    ValueError
        Where a shape, a type, a length or a label does not fit.

    Examples
    --------
    >>> scores = torch.tensor([[[0.1, 0.9], [0.5, 0.5], [0.2, 0.8]]]).log()
    >>> seven_seven = Alignments(scores, torch.tensor([3]), torch.tensor([[1, 1]]))
    >>> seven_seven.best().path.tolist(), round(float(seven_seven.log_partition().exp()), 2)
    ([[1, 0, 1]], 0.36)
    """

    def __init__(
        self,
        scores: Tensor,
        lengths: Tensor,
        target: Tensor,
        target_lengths: Tensor | None = None,
        *,
        blank: int = 0,
    ) -> None:
        _require_frames(scores, blank)
        self.scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        self.lengths = lengths_of(lengths, *scores.shape[:2])
        self.target, self.target_lengths = _cleaned(target, target_lengths, len(scores), scores.shape[2], blank)
        self.blank = blank
        with torch.inference_mode(False):  # gradients are taken through it in any mode
            self.lattice = Lattice.of(self.target.to(scores.device), self.target_lengths, blank)

    # -- the definition -----------------------------------------------------------------------------------------------

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """Scores (B, T, K), 0 in the padding."""
        return (torch.where(_real(self.scores, self.lengths).unsqueeze(2), self.scores, 0.0),)

    def with_weights(self, weights: tuple[Tensor, ...]) -> Alignments:
        return Alignments(weights[0], self.lengths, self.target, self.target_lengths, blank=self.blank)

    def recursion(self, semiring: Semiring, weights: tuple[Tensor, ...]) -> Tensor:
        """Equations 5 to 8, with alpha in logarithms."""
        scores, lattice = weights[0], self.lattice
        if scores.shape[1] == 0:
            # 0 where there is nothing to read; a loss of empty rows alone can still be differentiated.
            return semiring.lift(self._nothing() + scores.double().sum((1, 2))).to(scores.dtype)
        each = self._states(scores).unbind(1)  # (B, S) for each step: its gradient is one tensor, not one a step
        real = _real(scores, self.lengths)
        here = semiring.lift(lattice.opens + each[0])  # (.., B, S) alpha
        for t in range(1, len(each)):
            before = torch.cat([here.new_full((*here.shape[:-1], 2), -torch.inf), here], -1)
            onward = semiring.sum(before.unfold(-1, 3, 1) + lattice.moves, -1) + each[t]
            here = torch.where(real[:, t, None], onward, here)
        total = semiring.sum(here + lattice.closes, -1)
        return torch.where(self._filled(), total, semiring.lift(self._nothing())).to(scores.dtype)

    def score(self, target: Tensor) -> Tensor:
        """(B,) unnormalised log-score of each row's path ``target`` (B, T); -inf where it does not read the row's
        labels."""
        rows, steps, _ = self.scores.shape
        if target.shape != (rows, steps):
            raise ValueError(f"expected paths of shape {(rows, steps)}, found {tuple(target.shape)}")
        real = _real(self.scores, self.lengths)
        path = target.to(self.scores.device).masked_fill(~real, self.blank)
        each = self.scores.gather(2, path.unsqueeze(2)).squeeze(2).double()
        total = torch.where(real, each, 0.0).sum(1)
        return torch.where(self._reads(path), total, -torch.inf).to(self.scores.dtype)

    def log_prob(self, target: Tensor) -> Tensor:
        if self.scores.dtype == torch.float64:
            return super().log_prob(target)
        # Of a long row two large numbers nearly cancel.
        return self.with_scores(self.scores.double()).log_prob(target).to(self.scores.dtype)

    def ranked(self, k: int) -> Ranked:
        found = super().ranked(k)
        if self.scores.shape[1] == 0:  # one answer, if there is nothing to read
            found.score[:, 0] = self._nothing().to(found.score)
        return found

    def kl(self, other: Structure) -> Tensor:
        """As of any structure; raises ValueError where ``other`` aligns other targets too."""
        found = super().kl(other)
        if isinstance(other, Alignments) and not (self.blank == other.blank and self.target.equal(other.target)):
            raise ValueError("expected alignments of the same targets and the same blank, found others")
        return found

    # -- the same, fast -----------------------------------------------------------------------------------------------

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
        """log Z (B,) and, if asked for, the occupancies (B, T, K), in the scores' own type (sections 4.1 and 4.2).

        Backward variables are the forward variables of the row read from its end, so both are one scan.
        """
        (scores,), (rows, steps, _) = self._detached(), self.scores.shape
        each = self._states(scores)  # (B, T, S)
        if not backward:
            arrivals = _scan(each, self.lattice)
            return self._total(arrivals, each).to(scores.dtype), scores.new_zeros(0)
        turn = self._turn()
        target = _reversed(self.target, self.target_lengths).to(scores.device)
        turned = Lattice.of(target, self.target_lengths, self.blank)
        both = Lattice(*(torch.cat(pair) for pair in zip(self.lattice, turned, strict=True)))
        arrivals = _scan(torch.cat([each, _turned(each, turn)]), both)  # (2B, T, S)
        log_z = self._total(arrivals[:rows], each)
        # log of alpha beta / y / p, whose sum over a label's states is its share (equations 14 and 15). alpha and beta
        # come without the frame's own y, which is counted once.
        found = torch.where(torch.isneginf(log_z), 0.0, log_z).view(-1, 1, 1)
        shares = (arrivals[:rows] + _turned(arrivals[rows:], turn) + each - found).exp()
        real = _real(scores, self.lengths).unsqueeze(2) & self.lattice.real.unsqueeze(1)
        shares = torch.where(real, shares, 0.0)
        labels = self.lattice.labels.unsqueeze(1).expand(-1, steps, -1)
        occupancies = torch.zeros_like(scores).scatter_add_(2, labels, shares.to(scores.dtype))
        return log_z.to(scores.dtype), occupancies

    # -- parts --------------------------------------------------------------------------------------------------------

    def _states(self, scores: Tensor) -> Tensor:
        """(B, T, S) float64: what each frame scores in each state."""
        labels = self.lattice.labels.unsqueeze(1).expand(-1, scores.shape[1], -1)
        return scores.gather(2, labels).double()

    def _total(self, arrivals: Tensor, each: Tensor) -> Tensor:
        """(B,) equation 8, from what comes into each frame's states and what they score, both (B, T, S)."""
        row = torch.arange(len(each), device=each.device)
        last = (self.lengths - 1).clamp(min=0).to(each.device)
        total = (arrivals[row, last] + each[row, last] + self.lattice.closes).logsumexp(-1)
        return torch.where(self._filled(), total, self._nothing())

    def _turn(self) -> Tensor:
        """(B, T S) where in its row each frame and state lies when frames and states are read from the row's end; its
        own inverse."""
        frames = _mirror(self.lengths, self.scores.shape[1])  # (B, T)
        count = self.lattice.labels.shape[1]
        states = _mirror(2 * self.target_lengths + 1, count)  # (B, S)
        return (frames.unsqueeze(2) * count + states.unsqueeze(1)).flatten(1).to(self.scores.device)

    def _reads(self, path: Tensor) -> Tensor:
        """(B,) whether a path (B, T), blank in the padding, collapses to its row's target."""
        kept = _kept(path, self.blank)
        # One more column, which no label equals.
        labels = torch.nn.functional.pad(self.target, (0, 1), value=self.blank).to(path.device)
        place = (kept.cumsum(1) - 1).clamp(0, labels.shape[1] - 1)
        right = ~kept | (path == labels.gather(1, place))
        return right.all(1) & (kept.sum(1) == self.target_lengths.to(path.device))

    def _filled(self) -> Tensor:
        """(B,) which rows have frames."""
        return (self.lengths > 0).to(self.scores.device)

    def _nothing(self) -> Tensor:
        """(B,) float64: what a row without frames sums to, 0 where its target is empty too."""
        return _forbidding(self.target_lengths == 0).to(self.scores.device)


class _LogPartition(torch.autograd.Function):
    """log Z, whose gradient is the occupancies.

    Behind the log-softmax of `Ctc` that becomes what equation 16 says: occupancies less softmax.
    """

    @staticmethod
    def forward(ctx: Any, alignments: Alignments, scores: Tensor) -> Tensor:
        log_z, occupancies = alignments.solved(backward=ctx.needs_input_grad[1])
        ctx.alignments = alignments
        ctx.save_for_backward(scores, occupancies)
        return log_z

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        scores, occupancies = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient itself is to be differentiated: torch's own operations can be
            again = ctx.alignments.recursion(LogSum(), (scores,))
            return None, torch.autograd.grad(again, scores, upstream, create_graph=True)[0]
        return None, occupancies * upstream[:, None, None]


def _scan(each: Tensor, lattice: Lattice) -> Tensor:
    """(B, T, S) float64: log of the total of all paths that come into a state at a frame, that frame not scored (alpha
    of equation 6 without its y), from what frames score in states, (B, T, S)."""
    rows, steps, states = each.shape
    # States before rows: then what is one or two states before lies in one piece.
    scored = each.permute(1, 2, 0).contiguous().unbind()  # (S, B) for each step
    arrivals = each.new_empty(steps, states, rows)
    arrivals[0] = lattice.opens.T
    into = arrivals.unbind()
    # alpha, behind two states in which there never is anything
    alpha = each.new_full((states + 2, rows), -torch.inf)
    here, one, two = alpha[2:], alpha[1:-1], alpha[:-2]
    skips, jumped = lattice.moves[..., 0].T.contiguous(), torch.empty_like(into[0])
    for before, score, behind in zip(into, scored, into[1:], strict=False):
        torch.add(before, score, out=here)
        torch.add(two, skips, out=jumped)
        torch.logaddexp(here, one, out=behind)
        torch.logaddexp(behind, jumped, out=behind)
    return arrivals.permute(2, 0, 1)


# -- the search -------------------------------------------------------------------------------------------------------


class _Prefixes:
    """A tree of label sequences, each with a number: 0 is empty, every other is its parent's and one label more."""

    def __init__(self) -> None:
        self.parents, self.labels = [-1], [-1]
        self.numbers: dict[tuple[int, int], int] = {}

    def grown(self, parent: int, label: int) -> int:
        """The number of ``parent`` with ``label`` behind it: the same whenever it is asked for."""
        number = self.numbers.setdefault((parent, label), len(self.parents))
        if number == len(self.parents):
            self.parents.append(parent)
            self.labels.append(label)
        return number

    def sequence(self, number: int) -> list[int]:
        """Its labels."""
        found = []
        while number > 0:
            found.append(self.labels[number])
            number = self.parents[number]
        return found[::-1]


class _Beam(NamedTuple):
    """W different prefixes of each row, all (B, W), best first; logarithms are -inf where there are fewer."""

    prefix: np.ndarray  # number in the tree, -1 where there is none
    parent: np.ndarray  # number of the prefix without its last label, -2 where there is none
    last: np.ndarray  # the last label, the blank where there is none
    on_blank: np.ndarray  # log of the probability that it was read and the last frame is a blank
    on_label: np.ndarray  # the same where the last frame is its last label

    @staticmethod
    def empty(rows: int, width: int, blank: int) -> _Beam:
        """Before the first frame: the empty prefix, as if behind a blank."""
        whole, never = np.full((rows, width), -1), np.full((rows, width), -np.inf)
        prefix, on_blank = whole.copy(), never.copy()
        prefix[:, 0], on_blank[:, 0] = 0, 0.0
        return _Beam(prefix, whole - 1, np.full_like(whole, blank), on_blank, never)

    def onward(self, frame: np.ndarray, blank: int, tree: _Prefixes) -> _Beam:
        """The best W prefixes after one more frame, of log-probabilities (B, K)."""
        on_blank, on_label, grown = self._extended(frame, blank)
        # Each row's prefixes as they stay, then each grown by each label.
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
        found = _Beam(
            prefix,
            np.where(stays, parent, own),
            last,
            np.where(stays, on_blank, -np.inf),
            np.where(stays, on_label, score),
        )
        return found._cleared(score == -np.inf, blank)

    def _extended(self, frame: np.ndarray, blank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What each prefix has after a frame if it stays, on a blank and on its label (B, W), and what it gives to
        itself with a label more (B, W, K); what makes a prefix that is there already is given to that one."""
        total = np.logaddexp(self.on_blank, self.on_label)
        repeated = np.take_along_axis(frame, self.last, 1)
        on_blank, on_label = total + frame[:, blank, None], self.on_label + repeated
        grown = total[:, :, None] + frame[:, None, :]
        # The same label twice needs a blank between.
        np.put_along_axis(grown, self.last[:, :, None], (self.on_blank + repeated)[:, :, None], 2)
        grown[:, :, blank] = -np.inf
        row, child, parent = np.nonzero(self.parent[:, :, None] == self.prefix[:, None, :])
        label = self.last[row, child]
        on_label[row, child] = np.logaddexp(on_label[row, child], grown[row, parent, label])
        grown[row, parent, label] = -np.inf
        return on_blank, on_label, grown

    def _cleared(self, dead: np.ndarray, blank: int) -> _Beam:
        """With nothing where ``dead`` (B, W)."""
        filler = (-1, -2, blank, -np.inf, -np.inf)
        return _Beam(*(np.where(dead, value, part) for value, part in zip(filler, self, strict=True)))

    def answers(self, tree: _Prefixes) -> list[list[tuple[float, list[int]]]]:
        """Log-probability and labels of each row's prefixes, best first, of equals the lowest."""
        scores = np.logaddexp(self.on_blank, self.on_label).tolist()
        found = [
            [(score, tree.sequence(number)) for score, number in zip(row, numbers, strict=True) if number >= 0]
            for row, numbers in zip(scores, self.prefix.tolist(), strict=True)
        ]
        return [sorted(row, key=lambda answer: (-answer[0], answer[1])) for row in found]


# -- shapes -----------------------------------------------------------------------------------------------------------


def _require_frames(scores: Tensor, blank: int) -> None:
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
    """Targets (B, U) as wide as the longest with blank beyond their ends, and their lengths (B,), both on the CPU."""
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


def _real(values: Tensor, lengths: Tensor) -> Tensor:
    """(B, T) which frames of (B, T, ..) are within their row."""
    steps = torch.arange(values.shape[1], device=values.device)
    return steps < lengths.to(values.device).unsqueeze(1)


def _kept(path: Tensor, blank: int) -> Tensor:
    """(B, T) which frames of a path say a label that the frame before does not say."""
    before = torch.nn.functional.pad(path, (1, 0), value=blank)[:, :-1]
    return (path != blank) & (path != before)


def _forbidding(allowed: Tensor) -> Tensor:
    """0 where ``allowed``, -inf elsewhere, float64."""
    return torch.zeros(allowed.shape, dtype=torch.float64, device=allowed.device).masked_fill(~allowed, -torch.inf)


def _mirror(lengths: Tensor, steps: int) -> Tensor:
    """(B, ``steps``) the place of each step when the real ones are read from the last to the first."""
    step = torch.arange(steps)
    mirrored = lengths.unsqueeze(1) - 1 - step
    return torch.where(mirrored >= 0, mirrored, step)


def _reversed(target: Tensor, target_lengths: Tensor) -> Tensor:
    """(B, U) each row's labels from the last to the first."""
    return target.gather(1, _mirror(target_lengths, target.shape[1]))


def _turned(values: Tensor, turn: Tensor) -> Tensor:
    """(B, T, S) with frames and states in the order of ``turn``."""
    return values.flatten(1).gather(1, turn).view(values.shape)
