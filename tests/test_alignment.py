"""Ctc and its alignments against all frame paths written down, against torch's own loss, and by what must hold of any
frames."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from structseq.batch import pad_targets
from structseq.structures.alignment import Alignments, Ctc, collapse, merge_repeats
from structseq.structures.base import Distribution, LogSemiring, MaxSemiring, Structure

INF = math.inf
Labels = tuple[int, ...]


class Frames(NamedTuple):
    """Ragged rows of scores (B, T, K) in float64; what lies beyond a row is garbage."""

    scores: Tensor
    lengths: Tensor
    blank: int

    def ctc(self, dtype: torch.dtype = torch.float64) -> Ctc:
        return Ctc(self.scores.to(dtype), self.lengths, blank=self.blank)

    def log_probs(self, row: int) -> np.ndarray:
        return oracles.frame_log_probs(self.scores[row, : int(self.lengths[row])].numpy())

    @property
    def real(self) -> Tensor:
        """(B, T)."""
        return torch.arange(self.scores.shape[1]) < self.lengths.unsqueeze(1)


def random_frames(
    labels: int, steps: int, *, blank: int = 0, often: float = 0.0, seed: int = 0, whole: bool = False
) -> Frames:
    """A row of every length up to ``steps``; ``often``: how much is -inf; ``whole``: scores that tie."""
    generator = torch.Generator().manual_seed(100 * labels + 10 * steps + seed)
    lengths = torch.tensor([steps, *range(steps)])
    scores = 1.5 * torch.randn(steps + 1, steps, labels, generator=generator, dtype=torch.float64)
    scores = torch.zeros_like(scores) if whole else scores
    scores[torch.rand(scores.shape, generator=generator) < often] = -INF
    garbage = torch.tensor([math.nan, INF, -INF, 1e300], dtype=torch.float64)
    place = torch.arange(scores.numel()).view(scores.shape) % 4
    frames = Frames(scores, lengths, blank)
    return frames._replace(scores=torch.where(frames.real.unsqueeze(2), scores, garbage[place]))


def sequences(labels: int, blank: int, longest: int) -> list[Labels]:
    """Every label sequence up to that length."""
    own = [label for label in range(labels) if label != blank]
    return [found for length in range(longest + 1) for found in itertools.product(own, repeat=length)]


def table(rows: Sequence[Sequence[int]], blank: int, width: int | None = None) -> Tensor:
    """(B, U) with the blank beyond each row's end."""
    width = max((len(row) for row in rows), default=0) if width is None else width
    return torch.tensor([[*row, *[blank] * (width - len(row))] for row in rows], dtype=torch.int64).view(
        len(rows), width
    )


def rows_of(frames: Frames, row: int, many: int) -> Frames:
    return Frames(frames.scores[row].expand(many, -1, -1), frames.lengths[row].expand(many), frames.blank)


def close(found: Tensor, expected: Any, limit: float = 1e-9) -> None:
    truth = expected.detach().double().numpy() if isinstance(expected, Tensor) else np.asarray(expected)
    np.testing.assert_allclose(found.detach().double().numpy(), truth, rtol=limit, atol=limit)


CASES = [
    (labels, steps, blank, often)
    for labels, steps in ((1, 3), (2, 0), (2, 1), (2, 5), (3, 4), (4, 3))
    for blank in sorted({0, labels - 1})
    for often in (0.0, 0.3)
]


@pytest.fixture(params=CASES, ids=lambda case: "K{} T{} blank{} never{}".format(*case))
def frames(request: pytest.FixtureRequest) -> Frames:
    labels, steps, blank, often = request.param
    return random_frames(labels, steps, blank=blank, often=often)


@cache
def torch_problem(seed: int, steps: int, labels: int = 6, longest: int = 5) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scores in float64, lengths, targets and their lengths, among them none, repeats, and more than fit."""
    generator = torch.Generator().manual_seed(seed)
    rows = 12
    scores = 2 * torch.randn(rows, steps, labels, generator=generator, dtype=torch.float64)
    lengths = torch.randint(longest, steps + 1, (rows,), generator=generator)
    target = torch.randint(1, labels, (rows, longest), generator=generator)
    target_lengths = torch.randint(0, longest + 1, (rows,), generator=generator)
    target[1], target_lengths[1], target_lengths[0] = 3, longest, 0
    target[2], target_lengths[2], lengths[2] = 4, longest, longest  # five equal labels need nine frames
    return scores, lengths, target, target_lengths


# -- what a path reads ------------------------------------------------------------------------------------------------


def test_without_a_blank_a_repeated_label_is_lost() -> None:
    assert collapse("好好棒-棒", "-") == ["好", "棒", "棒"]
    assert merge_repeats("好好棒棒") == ["好", "棒"]
    # Whatever the frames, trimming never says 棒 twice in a row; collapsing says both.
    every = list(itertools.product("好棒", repeat=5))
    assert not [path for path in every if merge_repeats(path) == ["好", "棒", "棒"]]
    read = [collapse(path, "-") for path in itertools.product("好棒-", repeat=5)]
    assert ["好", "棒"] in read and ["好", "棒", "棒"] in read


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.lists(st.integers(0, 3), max_size=9), st.integers(0, 3))
def test_collapsing_and_trimming(path: list[int], blank: int) -> None:
    read = collapse(path, blank)
    assert tuple(read) == oracles.read(tuple(path), blank)
    assert all(one != other for one, other in itertools.pairwise(merge_repeats(path)))
    assert merge_repeats(merge_repeats(path)) == merge_repeats(path) and blank not in read
    assert collapse([label for each in read for label in (each, each, blank)], blank) == read  # said clearly, it stays


# -- probabilities ----------------------------------------------------------------------------------------------------


def test_every_sequence_has_the_probability_of_its_paths(frames: Frames) -> None:
    labels, steps = frames.scores.shape[2], frames.scores.shape[1]
    every = sequences(labels, frames.blank, min(steps + 1, 4))
    target = table(every, frames.blank)
    for row in range(len(frames.lengths)):
        expected = oracles.sequence_log_probs(frames.log_probs(row), frames.blank)
        found = rows_of(frames, row, len(every)).ctc().log_prob(target)
        close(found, [expected.get(labels, -INF) for labels in every])
        assert (found <= 0).all()


def test_probabilities_of_all_sequences_sum_to_one() -> None:
    frames = random_frames(3, 4)
    every = sequences(3, 0, 4)
    for row in range(len(frames.lengths)):
        found = rows_of(frames, row, len(every)).ctc().log_prob(table(every, 0))
        assert float(found.exp().sum()) == pytest.approx(1.0, abs=1e-12)


def test_the_gradient_is_occupancy_less_softmax(frames: Frames) -> None:
    for labels in sequences(frames.scores.shape[2], frames.blank, 2):
        target = table([labels] * len(frames.lengths), frames.blank)
        leaf = frames.scores.clone().requires_grad_()
        ctc = Ctc(leaf, frames.lengths, blank=frames.blank)
        (gradient,) = torch.autograd.grad(ctc.log_prob(target).sum(), leaf)
        occupancies, marginals = ctc.occupancies(target), ctc.marginals()
        for row, length in enumerate(frames.lengths.tolist()):
            known = frames.log_probs(row)
            expected = oracles.occupancies(known, frames.blank, labels)
            close(occupancies[row, :length], expected)
            close(marginals[row, :length], np.exp(known))
            possible = oracles.sequence_log_probs(known, frames.blank).get(labels, -INF) > -INF
            close(gradient[row, :length], expected - np.exp(known) if possible else np.zeros_like(known))
        for part in (gradient, occupancies, marginals):
            assert not part[~frames.real].any()


def test_what_is_impossible_is_said_without_an_exception_or_a_nan() -> None:
    scores = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    target = torch.tensor([[1, 1, 0, 0], [1, 2, 1, 2], [1, 1, 2, 0], [1, 2, 1, 0]])
    ctc = Ctc(scores, torch.tensor([2, 3, 0, 3]))
    found = ctc.log_prob(target)
    assert found[:3].tolist() == [-INF] * 3 and torch.isfinite(found[3])
    (gradient,) = torch.autograd.grad(found.sum(), scores)
    assert not gradient[:3].any() and gradient[3].any() and not gradient.isnan().any()
    assert not ctc.occupancies(target)[:3].any()
    aligned = ctc.alignment(target)
    assert aligned.score[:3].tolist() == [-INF] * 3 and not aligned.path[:3].any()


def test_an_empty_target_is_all_blanks() -> None:
    frames = random_frames(3, 4, blank=1)
    for target in (torch.zeros(5, 0, dtype=torch.int64), torch.full((5, 2), 1)):
        ctc = frames.ctc()
        expected = [frames.log_probs(row)[:, 1].sum() for row in range(5)]
        close(ctc.log_prob(target), expected)
        assert collapse(ctc.alignment(target).path[0].tolist(), 1) == []


@pytest.mark.parametrize("rows, steps", [(0, 3), (0, 0), (2, 0)])
def test_nothing_to_read(rows: int, steps: int) -> None:
    scores = torch.zeros(rows, steps, 3, requires_grad=True)
    ctc, empty = Ctc(scores, torch.zeros(rows, dtype=torch.int64)), torch.zeros(rows, 1, dtype=torch.int64)
    found = ctc.log_prob(empty)
    found.sum().backward()
    assert found.tolist() == [0.0] * rows and scores.grad is not None
    assert ctc.log_prob(empty + 1).tolist() == [-INF] * rows
    assert ctc.best().path.shape == ctc.alignment(empty).path.shape == (rows, steps)
    assert ctc.beam(3, k=2).path.shape == (rows, 2, steps) and ctc.beam(3, k=2).score.tolist() == [[0.0, -INF]] * rows
    assert ctc.alignments(empty).ranked(2).score.tolist() == [[0.0, -INF]] * rows
    assert ctc.alignments(empty + 1).ranked(2).score.tolist() == [[-INF, -INF]] * rows
    assert ctc.occupancies(empty).shape == ctc.marginals().shape == (rows, steps, 3)


# -- against torch ----------------------------------------------------------------------------------------------------


def torch_log_prob(scores: Tensor, lengths: Tensor, target: Tensor, target_lengths: Tensor) -> Tensor:
    """torch's own, which says inf where the target does not fit, and then gives no gradient where set so."""
    log_probs = scores.log_softmax(-1).transpose(0, 1)
    return -torch.nn.functional.ctc_loss(
        log_probs, target, lengths, target_lengths, reduction="none", zero_infinity=True
    )


# In float32 torch's own gradient loses digits with the row's length: longer rows are held to its float64.
KINDS = [
    (7, torch.float32, torch.float32, 1e-5),
    (30, torch.float32, torch.float64, 1e-5),
    (7, torch.float64, torch.float64, 1e-9),
    (30, torch.float64, torch.float64, 1e-9),
]


@pytest.mark.parametrize("steps, dtype, torchs, limit", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_torch_says_the_same(seed: int, steps: int, dtype: torch.dtype, torchs: torch.dtype, limit: float) -> None:
    scores, *others = torch_problem(seed, steps)
    one, other = (scores.to(dtype).to(kind).requires_grad_() for kind in (dtype, torchs))
    ctc = Ctc(one, others[0])
    found, expected = ctc.log_prob(*others[1:]), torch_log_prob(other, *others)
    possible = torch.isfinite(found)
    assert not possible[2] and possible[0] and found.dtype == dtype
    close(found[possible], expected[possible], limit)
    weights = torch.linspace(-1, 2, len(found))
    close(*(torch.autograd.grad((w * weights).sum(), s)[0] for w, s in ((found, one), (expected, other))), limit)


def test_a_long_row_keeps_its_digits_in_float32() -> None:
    scores, lengths, target, target_lengths = torch_problem(0, 400, labels=11)
    single, double = scores.float().requires_grad_(), scores.float().double().requires_grad_()
    found = Ctc(single, lengths).log_prob(target, target_lengths)
    expected = torch_log_prob(double, lengths, target, target_lengths)
    possible = torch.isfinite(found)
    close(found[possible], expected[possible], 1e-6)
    close(*(torch.autograd.grad(w.sum(), s)[0] for w, s in ((found, single), (expected, double))), 1e-5)


# -- one truth, two speeds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 9, 40])
def test_the_fast_way_says_what_the_recursion_says(steps: int) -> None:
    scores, lengths, target, target_lengths = torch_problem(5, max(steps, 9))
    scores, lengths = scores[:, :steps].clone().requires_grad_(), lengths.clamp(max=steps)
    fast = Alignments(scores, lengths, target, target_lengths)
    traced = Structure.log_partition(fast)
    close(fast.log_partition(), traced)
    close(fast.marginals(), Structure.marginals(fast))
    possible = torch.isfinite(traced)
    assert steps == 1 or possible.any()
    close(*(torch.autograd.grad(w[possible].sum(), scores)[0] for w in (fast.log_partition(), traced)))
    with torch.no_grad():
        close(fast.log_partition(), traced)  # without a gradient only half of it is computed


def test_first_and_second_derivatives() -> None:
    lengths, target = torch.tensor([4, 2, 3]), torch.tensor([[1, 1], [2, 0], [1, 2]])
    leaf = torch.randn(3, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def ask(scores: Tensor) -> Tensor:
        return Ctc(scores, lengths).log_prob(target)

    assert torch.autograd.gradcheck(ask, leaf) and torch.autograd.gradgradcheck(ask, leaf, fast_mode=True)
    assert torch.autograd.gradcheck(lambda scores: Ctc(scores, lengths).alignments(target).entropy(), leaf)


# -- alignments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True], ids=["free", "ties"])
@pytest.mark.parametrize("labels, steps, blank", [(3, 5, 0), (3, 4, 2), (4, 4, 1)])
def test_the_best_alignment_and_the_ranked(labels: int, steps: int, blank: int, whole: bool) -> None:
    frames = random_frames(labels, steps, blank=blank, whole=whole)
    for target in sequences(labels, blank, 3):
        rows = table([target] * len(frames.lengths), blank)
        found, ranked = frames.ctc().alignment(rows), frames.ctc().alignments(rows).ranked(6)
        for row, length in enumerate(frames.lengths.tolist()):
            expected = oracles.latest_best(frames.log_probs(row), blank, target)
            ways = oracles.readings(frames.log_probs(row), blank).get(target, [])
            totals = sorted((total for _, total in ways), reverse=True)[:6]
            close(ranked.score[row], totals + [-INF] * (6 - len(totals)))
            if expected is None:
                assert found.score[row] == -INF and not found.path[row].any()
                continue
            assert tuple(found.path[row, :length].tolist()) == expected[0] and not found.path[row, length:].any()
            close(found.score[row], expected[1])
            answers = {tuple(path) for path in ranked.path[row, : len(totals), :length].tolist()}
            assert len(answers) == len(totals) and answers <= {path for path, _ in ways}


def test_alignments_are_scored_and_drawn_by_their_share() -> None:
    frames, target, count = random_frames(3, 4), (1, 2), 600
    alignments = frames.ctc().alignments(table([target] * 5, 0))
    drawn = alignments.sample(count, torch.Generator().manual_seed(0))
    for row in (0, 4):  # of four frames and of three
        length = int(frames.lengths[row])
        ways = dict(oracles.readings(frames.log_probs(row), 0)[target])
        whole = oracles.log_sum(list(ways.values()))
        for path in oracles.paths(length, 3):
            query = torch.full((5, 4), -100)
            query[row, :length] = torch.tensor(path)
            for other, steps in enumerate(frames.lengths.tolist()):
                query[other, :steps] = 0 if other != row else query[other, :steps]
            total = ways.get(path, -INF)
            close(alignments.score(query)[row], total)
            close(alignments.log_prob(query)[row], total - whole)
            often = (drawn[:, row, :length] == torch.tensor(path)).all(1).sum()
            share = math.exp(total - whole)
            assert abs(int(often) - count * share) <= 5 * math.sqrt(count * share * (1 - share))
        close(alignments.entropy()[row], -sum(math.exp(w - whole) * (w - whole) for w in ways.values()))


def test_alignments_of_other_targets_cannot_be_compared() -> None:
    frames = random_frames(3, 4)
    one, other = (frames.ctc().alignments(table([labels] * 5, 0)) for labels in ((1, 2), (2, 1)))
    close(one.kl(one), torch.zeros(5))
    with pytest.raises(ValueError, match="expected alignments of the same targets"):
        one.kl(other)


def test_the_recursion_finds_each_path_once() -> None:
    # Frames that score nothing: log Z counts the paths, and the best is worth nothing.
    for target in sequences(3, 0, 3):
        alignments = Alignments(torch.zeros(1, 6, 3), torch.tensor([6]), table([target], 0))
        ways = [path for path in oracles.paths(6, 3) if oracles.read(path, 0) == target]
        assert float(alignments.log_partition().exp()) == pytest.approx(len(ways), abs=1e-3)
        assert alignments.recursion(MaxSemiring(), alignments.weights) == 0
        assert alignments.recursion(LogSemiring(), alignments.weights).dtype == torch.float32


# -- searching --------------------------------------------------------------------------------------------------------


def test_the_best_path_is_what_the_best_labels_read(frames: Frames) -> None:
    ctc = frames.ctc()
    found, again = ctc.best_path(), ctc.best()
    assert torch.equal(found.path, again.path) and torch.equal(found.score, again.score)
    for row in range(len(frames.lengths)):
        known = frames.log_probs(row)
        read = oracles.read(tuple(known.argmax(1).tolist()), frames.blank)
        assert found.path[row].tolist() == [*read, *[frames.blank] * (found.path.shape[1] - len(read))]
        close(found.score[row], known.max(1).sum() if len(known) else 0.0)
    assert (found.score <= ctc.log_prob(found.path) + 1e-12).all()


def test_a_beam_wide_enough_finds_everything(frames: Frames) -> None:
    every = sequences(frames.scores.shape[2], frames.blank, frames.scores.shape[1])
    count = len(every) + 2
    found = frames.ctc().beam(count, k=count)
    for row in range(len(frames.lengths)):
        expected = oracles.sequence_log_probs(frames.log_probs(row), frames.blank)
        order = sorted((labels for labels in expected if expected[labels] > -INF), key=lambda one: -expected[one])
        close(found.score[row], [expected[labels] for labels in order] + [-INF] * (count - len(order)))
        answers = [*order, *[()] * (count - len(order))]
        assert torch.equal(found.path[row], table(answers, frames.blank, frames.scores.shape[1]))


def test_of_equal_answers_the_lower_comes_first() -> None:
    ctc = Ctc(torch.zeros(1, 2, 4), torch.tensor([2]))
    found = ctc.beam(20, k=20)
    possible = torch.isfinite(found.score[0])
    answers = [tuple(label for label in path if label) for path in found.path[0, possible].tolist()]
    # Three paths read one label (1 1, 1 0, 0 1), one path reads each of the others.
    assert answers == [(1,), (2,), (3,), (), (1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)]
    assert Ctc(torch.zeros(1, 2, 4), torch.tensor([2]), blank=3).best_path().path.tolist() == [[0, 3]]
    narrow = ctc.beam(2, k=2)
    assert narrow.path[0].tolist() == ctc.beam(2, k=2).path[0].tolist() == [[1, 0], [0, 0]]


def test_of_equal_answers_the_lower_comes_first_whichever_led() -> None:
    # After one frame 2 leads 1; after two they are equal.
    shares = torch.tensor([[[0.0, 0.25, 0.5, 0.25], [0.0, 0.5, 0.25, 0.25]]], dtype=torch.float64)
    found = Ctc(shares.log(), torch.tensor([2])).beam(20, k=5)
    assert found.path[0].tolist() == [[2, 1], [1, 0], [2, 0], [2, 3], [3, 1]]
    close(found.score.exp(), [[0.25, 0.125, 0.125, 0.125, 0.125]])


def test_a_prefix_that_was_lost_and_comes_again_is_the_same() -> None:
    # Once (1,) falls out of the beam while (1, 2) stays, it can come in again by (); the two must still be one.
    generator = torch.Generator().manual_seed(3)
    for _ in range(30):
        scores = 3 * torch.randn(8, 7, 3, generator=generator, dtype=torch.float64)
        ctc = Ctc(scores, torch.full((8,), 7))
        for width in (1, 2, 3, 5):
            found = ctc.beam(width, k=width)
            for row in range(8):
                answers = [tuple(path) for path in found.path[row][torch.isfinite(found.score[row])].tolist()]
                assert len(set(answers)) == len(answers)
            for rank in range(width):
                assert (found.score[:, rank] <= ctc.log_prob(found.path[:, rank]) + 1e-9).all()


def test_a_beam_sees_what_the_best_path_does_not() -> None:
    ctc = Ctc(torch.tensor([[[0.6, 0.4], [0.6, 0.4]]]).log(), torch.tensor([2]))
    assert ctc.best_path().path.tolist() == [[0, 0]] and ctc.beam(4).path.tolist() == [[[1, 0]]]
    close(ctc.beam(4).score.exp(), [[0.64]], 1e-6)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(
    st.integers(0, 10_000), st.integers(1, 5), st.integers(2, 4), st.floats(0.1, 8.0), st.integers(1, 6), st.booleans()
)
def test_what_holds_of_any_frames(seed: int, steps: int, labels: int, scale: float, width: int, repeated: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = scale * torch.randn(3, steps, labels, generator=generator, dtype=torch.float64)
    lengths = torch.randint(0, steps + 1, (3,), generator=generator)
    ctc = Ctc(scores, lengths)
    target = torch.randint(1, labels, (3, 3), generator=generator)
    target = target[:, :1].expand(-1, 3) if repeated else target
    counts = torch.randint(0, 4, (3,), generator=generator)
    log_prob, aligned = ctc.log_prob(target, counts), ctc.alignment(target, counts)
    known = [tuple(row[:count]) for row, count in zip(target.tolist(), counts.tolist(), strict=True)]
    for row, length in enumerate(lengths.tolist()):
        if aligned.score[row] > -INF:
            assert tuple(collapse(aligned.path[row, :length].tolist(), 0)) == known[row]
    assert (aligned.score <= log_prob + 1e-9).all()
    # A path's frames are shared out among labels, and only where there are paths.
    shares = ctc.occupancies(target, counts).sum(-1)
    possible = torch.isfinite(log_prob)
    close(shares, ((torch.arange(steps) < lengths.unsqueeze(1)) & possible.unsqueeze(1)).double())
    # What a frame's scores have in common, the rows' order and their neighbours change nothing.
    shifted = Ctc(scores + torch.randn(3, steps, 1, generator=generator, dtype=torch.float64), lengths)
    close(shifted.log_prob(target, counts), log_prob)
    order = torch.randperm(3, generator=generator)
    assert torch.equal(Ctc(scores[order], lengths[order]).log_prob(target[order], counts[order]), log_prob[order])
    alone = torch.cat([Ctc(scores[b:, : lengths[b]][:1], lengths[b:][:1]).log_prob(target[b:][:1], counts[b:][:1])
                       for b in range(3)])  # fmt: skip
    close(alone, log_prob)
    # Labels may be named otherwise, the blank too.
    names = torch.randperm(labels, generator=generator)
    renamed = Ctc(scores[:, :, names.argsort()], lengths, blank=int(names[0]))
    close(renamed.log_prob(names[target], counts), log_prob)
    close(renamed.beam(width).score, ctc.beam(width).score)
    # A wider beam has no less of what it finds; the widest is the truth.
    found = ctc.beam(400)
    close(found.score[:, 0], ctc.log_prob(found.path[:, 0]))
    assert (ctc.beam(width).score <= found.score + 1e-9).all()


# -- shapes, kinds and mistakes ---------------------------------------------------------------------------------------


def test_targets_end_by_their_lengths_or_at_the_blank() -> None:
    ctc = random_frames(4, 4).ctc()
    lists = [[1, 2], [], [3], [3, 3], [1]]
    expected = ctc.log_prob(table(lists, 0))
    counts = torch.tensor([len(labels) for labels in lists])
    dirty = table(lists, 0, 6)
    dirty[torch.arange(6) >= counts.unsqueeze(1)] = -100
    for found in (ctc.log_prob(pad_targets(lists, 5)), ctc.log_prob(dirty, counts), ctc.log_prob(dirty, counts.int())):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype: torch.dtype) -> None:
    scores, lengths, target, target_lengths = torch_problem(0, 30)
    half = scores.to(dtype).requires_grad_()
    found = Ctc(half, lengths).log_prob(target, target_lengths)
    assert found.dtype == torch.float32
    close(found, Ctc(half.detach().float(), lengths).log_prob(target, target_lengths))
    (gradient,) = torch.autograd.grad(found.sum(), half)
    assert gradient.dtype == dtype and gradient.isfinite().all()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close(Ctc(half.detach(), lengths).log_prob(target, target_lengths), found)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_answers_do_not_depend_on_the_grad_mode(mode: Any) -> None:
    scores, lengths, target, target_lengths = torch_problem(1, 9)

    def everything(ctc: Ctc) -> list[Tensor]:
        alignments = ctc.alignments(target, target_lengths)
        ranked = [alignments.best(), alignments.ranked(3), ctc.best(), ctc.beam(3, k=2)]
        parts = [ctc.log_prob(target, target_lengths), alignments.marginals(), alignments.entropy(), ctc.marginals()]
        return parts + [part for found in ranked for part in found]

    outside = Ctc(scores.clone().requires_grad_(), lengths)
    expected = everything(outside)
    with mode():
        for ctc in (outside, Ctc(scores.clone(), lengths)):
            for found, truth in zip(everything(ctc), expected, strict=True):
                close(found, truth)


def test_the_callers_tensors_stay_untouched() -> None:
    held = [part.clone() for part in torch_problem(2, 9)]
    before = [part.numpy().tobytes() for part in held]
    ctc = Ctc(held[0], held[1])
    ctc.log_prob(*held[2:]), ctc.alignment(*held[2:]), ctc.occupancies(*held[2:]), ctc.best(), ctc.beam(3, k=2)
    assert [part.numpy().tobytes() for part in held] == before


def test_it_answers_again_after_a_gradient() -> None:
    scores, lengths, target, target_lengths = torch_problem(3, 9)
    ctc = Ctc(scores.clone().requires_grad_(), lengths)
    first, second = (torch.autograd.grad(ctc.log_prob(target, target_lengths).sum(), ctc.scores)[0] for _ in range(2))
    assert torch.equal(first, second) and first.any()


def test_it_says_which_verbs_are_exact() -> None:
    ctc = random_frames(3, 2).ctc()
    assert isinstance(ctc, Distribution) and not isinstance(ctc, Structure) and ctc.calibrated
    assert all(callable(getattr(ctc, verb)) for verb in ctc.exact)
    assert not ctc.exact & {"best", "best_path", "beam"}
    assert isinstance(ctc.alignments(table([()] * 3, 0)), Structure)


FITTING = torch.zeros(2, 3, 4)


@pytest.mark.parametrize(
    "scores, lengths, blank, message",
    [
        (FITTING[0], [3, 3], 0, "scores: expected floating-point numbers"),
        (FITTING.long(), [3, 3], 0, "scores: expected floating-point numbers"),
        (FITTING[:, :, :0], [3, 3], 0, "with at least one label"),
        (FITTING, [3], 0, "lengths: expected 2 whole numbers from 0 to 3"),
        (FITTING, [3, 4], 0, "lengths: expected 2 whole numbers from 0 to 3"),
        (FITTING, [3, -1], 0, "lengths: expected 2 whole numbers from 0 to 3"),
        (FITTING, [3.0, 1.0], 0, "lengths: expected 2 whole numbers from 0 to 3"),
        (FITTING, [3, 3], 4, "blank: expected a label from 0 to 3, found 4"),
        (FITTING, [3, 3], True, "blank: expected a label from 0 to 3, found True"),
    ],
)
def test_frames_that_do_not_fit(scores: Tensor, lengths: list[Any], blank: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ctc(scores, torch.tensor(lengths), blank=blank)


@pytest.mark.parametrize(
    "target, counts, message",
    [
        ([[1, 2]], None, r"target: expected whole numbers of shape \(2, labels\)"),
        ([[1.0], [2.0]], None, r"target: expected whole numbers of shape \(2, labels\)"),
        ([[1, 2], [0, 2]], None, "padded with the blank, 0; found .0, 2. of length 1 in row 1"),
        ([[1, 4], [1, 2]], None, "target: expected labels from 0 to 3"),
        ([[1, -1], [1, 2]], None, "target: expected labels from 0 to 3"),
        ([[1, 0], [1, 2]], [2, 2], "padded with the blank, 0; found .1, 0. of length 2 in row 0"),
        ([[1, 2], [1, 2]], [2, 3], "target_lengths: expected 2 whole numbers from 0 to 2"),
    ],
)
def test_targets_that_are_none(target: list[list[Any]], counts: list[int] | None, message: str) -> None:
    ctc = Ctc(FITTING, torch.tensor([3, 2]))
    lengths = None if counts is None else torch.tensor(counts)
    for ask in (ctc.log_prob, ctc.alignment, ctc.occupancies):
        with pytest.raises(ValueError, match=message):
            ask(torch.tensor(target), lengths)


def test_paths_and_widths_that_are_none() -> None:
    ctc = Ctc(FITTING, torch.tensor([3, 2]))
    with pytest.raises(ValueError, match=r"expected paths of shape \(2, 3\), found \(2, 2\)"):
        ctc.alignments(torch.ones(2, 1, dtype=torch.int64)).score(torch.ones(2, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="width: expected a whole number from 1 on"):
        ctc.beam(0)
    with pytest.raises(ValueError, match="k: expected a whole number from 1 on"):
        ctc.beam(3, k=0)
