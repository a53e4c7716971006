"""SemiMarkov against plain enumeration of all segmentations: every verb, ragged and empty rows, forbidden parts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from structseq.structures.base import LogSemiring, Structure
from structseq.structures.chain import LinearChain
from structseq.structures.objectives import negative_log_likelihood
from structseq.structures.segments import Segment, SemiMarkov, path_of, segments_of

INF = math.inf
Segmentation = tuple[tuple[int, int, int], ...]  # of (start, end, label)
Places = list[tuple[tuple[int, ...], float]]  # of a tensor's row, and what an answer adds there
Values = Callable[[Segmentation], Places]


# -- the oracle: it writes every segmentation down --------------------------------------------------------------------


def segmentations(length: int, longest: int, tags: int, start: int = 0) -> Iterator[Segmentation]:
    """Every segmentation of the tokens from ``start`` to ``length``: by its first segment's label, then by its
    length, then by the next segment's."""
    if start == length:
        yield ()
        return
    for label in range(tags):
        for end in range(start + 1, min(start + longest, length) + 1):
            for rest in segmentations(length, longest, tags, end):
                yield ((start, end, label), *rest)


class Batch(NamedTuple):
    """Weights in float64, and the true lengths."""

    scores: Tensor
    transitions: Tensor
    start: Tensor
    end: Tensor
    lengths: Tensor

    def structure(self) -> SemiMarkov:
        return SemiMarkov(*self)

    @property
    def tags(self) -> int:
        return self.scores.shape[3]

    def answers(self, row: int) -> list[Segmentation]:
        return list(segmentations(int(self.lengths[row]), self.scores.shape[2], self.tags))

    def path(self, answer: Segmentation) -> list[int]:
        """The answer as the structure writes it, worked out token by token."""
        path = [0] * self.scores.shape[1]
        for start, end, label in answer:
            for t in range(start, end):
                path[t] = (end - start - 1) * self.tags + label if t == start else -1
        return path


class Truth(NamedTuple):
    """One row: its answers, their scores, log Z and their probabilities (all 0 where nothing is possible)."""

    answers: list[Segmentation]
    scores: list[float]
    log_z: float
    shares: list[float]


def score_of(weights: list[Any], row: int, answer: Segmentation) -> float:
    """start + segments + transitions + end, added up; an empty answer has nothing to add."""
    scores, transitions, start, end = weights
    if not answer:
        return 0.0
    total = float(start[answer[0][2]]) + float(end[answer[-1][2]])
    for first, behind, label in answer:
        total += scores[row][first][behind - first - 1][label]
    for one, following in itertools.pairwise(answer):
        total += transitions[one[2]][following[2]]
    return total


def truth_of(batch: Batch, row: int) -> Truth:
    answers, weights = batch.answers(row), [part.tolist() for part in batch[:4]]
    scores = [score_of(weights, row, answer) for answer in answers]
    top = max(scores)
    if top == -INF:
        return Truth(answers, scores, -INF, [0.0] * len(scores))
    log_z = top + math.log(math.fsum(math.exp(score - top) for score in scores))
    return Truth(answers, scores, log_z, [math.exp(score - log_z) for score in scores])


def random_batch(tags: int, longest: int, steps: int, often: float, *, seed: int = 0, exact: bool = False) -> Batch:
    """Ragged rows of every length up to ``steps``, in no order; ``often``: how much is -inf. What does not fit into a
    row is NaN, inf or huge. ``exact``: small whole numbers, so that answers tie."""
    generator = torch.Generator().manual_seed(((tags * 10 + longest) * 10 + steps) * 10 + seed)

    def table(*shape: int, often: float = often) -> Tensor:
        numbers = torch.randn(shape, generator=generator, dtype=torch.float64) * 1.5
        numbers = numbers.round() if exact else numbers
        return torch.where(torch.rand(shape, generator=generator) < often, -INF, numbers)

    lengths = [*(range(steps) if steps % 2 else reversed(range(steps))), steps, steps]
    scores = table(len(lengths), steps, longest, tags, often=often / 2)
    garbage = (math.nan, INF, 1e300)
    for row, length in enumerate(lengths):
        for t in range(steps):
            for s in range(longest):
                if t + s >= length:
                    scores[row, t, s] = garbage[(t + s + row) % 3]
    return Batch(scores, table(tags, tags), table(tags), table(tags), torch.tensor(lengths))


class Case(NamedTuple):
    batch: Batch
    truths: list[Truth]

    @property
    def structure(self) -> SemiMarkov:
        return self.batch.structure()

    def expected(self, values: Values, shape: torch.Size) -> Tensor:
        """(B, ...) the mean of what ``values`` says of an answer: places and what to add there."""
        found = torch.zeros(shape, dtype=torch.float64)
        for row, truth in enumerate(self.truths):
            for answer, share in zip(truth.answers, truth.shares, strict=True):
                for place, value in values(answer):
                    found[(row, *place)] += share * value
        return found


@cache
def case_of(tags: int, longest: int, steps: int, often: float, exact: bool = False) -> Case:
    batch = random_batch(tags, longest, steps, often, exact=exact)
    return Case(batch, [truth_of(batch, row) for row in range(len(batch.lengths))])


SHAPES = [(tags, longest, steps) for tags in (1, 3) for longest in (1, 2, 4) for steps in (0, 1, 5)]


@pytest.fixture(params=SHAPES, ids=lambda shape: "K{} S{} T{}".format(*shape))
def shape(request: pytest.FixtureRequest) -> tuple[int, int, int]:
    found: tuple[int, int, int] = request.param
    return found


@pytest.fixture(params=(0.0, 0.3), ids=("free", "forbidden"))
def case(request: pytest.FixtureRequest, shape: tuple[int, int, int]) -> Case:
    return case_of(*shape, request.param)


def assert_close(found: Tensor, expected: Tensor | Sequence[float] | float, atol: float = 1e-9) -> None:
    truth = expected.detach() if isinstance(expected, Tensor) else expected
    np.testing.assert_allclose(found.detach().numpy(), np.asarray(truth), rtol=0, atol=atol)


def per_segment(answer: Segmentation) -> Places:
    return [((start, end - start - 1, label), 1.0) for start, end, label in answer]


def per_token(answer: Segmentation) -> Places:
    return [((t, label), 1.0) for start, end, label in answer for t in range(start, end)]


# -- every verb -------------------------------------------------------------------------------------------------------


def test_log_partition(case: Case) -> None:
    assert_close(case.structure.log_partition(), [truth.log_z for truth in case.truths])


def test_scores_and_probabilities_of_all_segmentations(case: Case) -> None:
    batch = case.batch
    for row, truth in enumerate(case.truths):
        many = len(truth.answers)
        chosen = Batch(batch.scores[row].expand(many, -1, -1, -1), *batch[1:4], batch.lengths[row].expand(many))
        target = torch.tensor([batch.path(answer) for answer in truth.answers])
        target = target.reshape(many, batch.scores.shape[1])
        target[:, int(batch.lengths[row]) :] = -100  # what lies beyond a row may be anything
        structure = chosen.structure()
        assert_close(structure.score(target), truth.scores)
        log_prob = structure.log_prob(target)
        assert_close(log_prob.exp(), truth.shares)
        assert (log_prob <= 0).all() or truth.log_z == -INF
        assert_close(log_prob.exp().sum(), 0.0 if truth.log_z == -INF else 1.0)


def test_marginals(case: Case) -> None:
    structure = case.structure
    found = structure.marginals()
    expected = case.expected(per_segment, structure.scores.shape)
    assert_close(found, expected)
    assert found[expected == 0].eq(0).all()  # exactly


def test_tag_marginals(case: Case) -> None:
    structure = case.structure
    found = structure.tag_marginals()
    rows, steps, _, tags = structure.scores.shape
    expected = case.expected(per_token, torch.Size((rows, steps, tags)))
    assert_close(found, expected)
    assert found[expected == 0].eq(0).all()


def test_best(case: Case) -> None:
    path, score = case.structure.best()
    assert path.dtype == torch.int64
    for row, truth in enumerate(case.truths):
        top = max(truth.scores)
        assert_close(score[row], top)
        best = [case.batch.path(a) for a, s in zip(truth.answers, truth.scores, strict=True) if s > top - 1e-12]
        assert path[row].tolist() in (best if top > -INF else [[0] * path.shape[1]])


@pytest.mark.parametrize("k", (1, 12))
def test_ranked(case: Case, k: int) -> None:
    paths, scores = case.structure.ranked(k)
    assert paths.shape[:2] == scores.shape == (len(case.truths), k)
    for row, truth in enumerate(case.truths):
        known = {tuple(case.batch.path(a)): s for a, s in zip(truth.answers, truth.scores, strict=True) if s > -INF}
        best = sorted(known.values(), reverse=True)[:k]
        assert_close(scores[row], best + [-INF] * (k - len(best)))
        found = [tuple(path) for path in paths[row].tolist()]
        assert len(set(found[: len(best)])) == len(best)
        for path, score in zip(found, best, strict=False):
            assert known[path] == pytest.approx(score, abs=1e-9)
        assert not paths[row, len(best) :].any()


def test_ranked_lists_all_there_is() -> None:
    case = case_of(2, 3, 3, 0.0)
    most = max(len(truth.answers) for truth in case.truths)
    paths, scores = case.structure.ranked(most + 2)
    for row, truth in enumerate(case.truths):
        found = {tuple(path) for path in paths[row, : len(truth.answers)].tolist()}
        assert found == {tuple(case.batch.path(answer)) for answer in truth.answers}
        assert scores[row].isfinite().sum() == len(truth.answers)


def test_ties_go_to_the_lowest_label_then_the_shortest_segment_from_the_left(shape: tuple[int, int, int]) -> None:
    case = case_of(*shape, 0.2, exact=True)
    best, ranked = case.structure.best(), case.structure.ranked(8)
    for row, truth in enumerate(case.truths):
        # The oracle writes answers in that order, and sorting keeps it among equals.
        order = sorted(range(len(truth.scores)), key=lambda i: -truth.scores[i])
        expected = [case.batch.path(truth.answers[i]) for i in order if truth.scores[i] > -INF][:8]
        assert ranked.path[row, : len(expected)].tolist() == expected
        assert best.path[row].tolist() == (expected or [[0] * best.path.shape[1]])[0]


@pytest.mark.parametrize("often", (0.0, 0.3))
def test_sample_against_enumeration(often: float) -> None:
    case, drawn = case_of(2, 3, 3, often), 500
    found = case.structure.sample(drawn, torch.Generator().manual_seed(3))
    assert found.shape == (drawn, *case.batch.scores.shape[:2])
    assert found.equal(case.structure.sample(drawn, torch.Generator().manual_seed(3)))
    for row, truth in enumerate(case.truths):
        if truth.log_z == -INF:
            assert not found[:, row].any()
            continue
        known = {tuple(case.batch.path(a)): s for a, s in zip(truth.answers, truth.shares, strict=True) if s > 0}
        counts = dict.fromkeys(known, 0)
        for path in found[:, row].tolist():
            counts[tuple(path)] += 1  # a KeyError: drawn, but impossible
        chi_square = sum((counts[path] - drawn * share) ** 2 / (drawn * share) for path, share in known.items())
        freedom = len(known) - 1
        # Four standard deviations, and the small-sample tail of rare answers, above the mean.
        assert chi_square <= freedom + 4 * math.sqrt(2 * freedom) + 4


def test_entropy(case: Case) -> None:
    expected = [-math.fsum(p * math.log(p) for p in truth.shares if p > 0) for truth in case.truths]
    assert_close(case.structure.entropy(), expected)


@pytest.mark.parametrize("often", (0.0, 0.3))
def test_kl(case: Case, often: float) -> None:
    steps, longest, tags = case.batch.scores.shape[1:]
    other = random_batch(tags, longest, steps, often, seed=1)
    found = case.structure.kl(other.structure())
    for row, truth in enumerate(case.truths):
        theirs = truth_of(other, row)
        if truth.log_z == -INF:
            continue  # there is no distribution to compare
        expected = 0.0
        for p, q in zip(truth.shares, theirs.shares, strict=True):
            if p > 0:
                expected += INF if q == 0 else p * math.log(p / q)
        assert_close(found[row], max(expected, 0.0))


def test_minimum_risk(case: Case) -> None:
    path, score = case.structure.minimum_risk()
    right = case.structure.marginals()
    for row, truth in enumerate(case.truths):
        gains = {
            tuple(case.batch.path(answer)): sum(float(right[(row, *place)]) for place, _ in per_segment(answer))
            for answer, total in zip(truth.answers, truth.scores, strict=True)
            if total > -INF
        }
        assert_close(score[row], max(gains.values(), default=-INF))
        if gains:
            assert gains[tuple(path[row].tolist())] == pytest.approx(float(score[row]), abs=1e-9)


def test_expected_counts_the_segments(case: Case) -> None:
    ones = tuple(
        torch.ones_like(part) if i == 0 else torch.zeros_like(part) for i, part in enumerate(case.structure.weights)
    )
    expected = case.expected(lambda answer: [((), float(len(answer)))], case.batch.lengths.shape)
    assert_close(case.structure.expected(ones), expected)


def test_tempered_and_within() -> None:
    case = case_of(2, 3, 5, 0.0)
    batch, structure = case.batch, case.structure
    half = Batch(*(part / 2 for part in batch[:4]), batch.lengths)
    expected = [truth_of(half, row).log_z for row in range(len(batch.lengths))]
    assert_close(structure.tempered(2.0).log_partition(), expected)
    allowed = torch.rand(batch.scores.shape, generator=torch.Generator().manual_seed(0)) < 0.7
    fewer = batch._replace(scores=torch.where(allowed, batch.scores, -INF))
    expected = [truth_of(fewer, row).log_z for row in range(len(batch.lengths))]
    assert_close(structure.within(allowed).log_partition(), expected)


# -- gradients --------------------------------------------------------------------------------------------------------


def differentiable(batch: Batch) -> list[Tensor]:
    return [part.clone().requires_grad_() for part in batch[:4]]


@pytest.mark.parametrize("often", (0.0, 0.3))
def test_gradients_of_log_partition_twice(often: float) -> None:
    batch = random_batch(2, 3, 3, often)
    # Finite differences cannot start at infinity.
    parts = [
        part.clone().requires_grad_() for part in (batch.scores.nan_to_num(0.0, 1.0, -INF).clamp(max=2), *batch[1:4])
    ]

    def log_z(*parts: Tensor) -> Tensor:
        found = SemiMarkov(parts[0], parts[1], parts[2], parts[3], batch.lengths).log_partition()
        return found[found.isfinite()]

    assert torch.autograd.gradcheck(log_z, parts)
    assert torch.autograd.gradgradcheck(log_z, parts)


def test_gradients_of_log_prob_and_entropy() -> None:
    batch = random_batch(2, 3, 3, 0.0)
    parts = [part.clone().requires_grad_() for part in (batch.scores.nan_to_num(0.0, 1.0).clamp(max=2), *batch[1:4])]
    target = batch.structure().sample(1, torch.Generator().manual_seed(0))[0]

    def both(*parts: Tensor) -> tuple[Tensor, Tensor]:
        structure = SemiMarkov(parts[0], parts[1], parts[2], parts[3], batch.lengths)
        return negative_log_likelihood(structure, target), structure.entropy()

    assert torch.autograd.gradcheck(both, parts)


def test_gradients_are_marginals_and_exactly_zero_for_what_is_impossible(case: Case) -> None:
    parts = differentiable(case.batch)
    total = SemiMarkov(parts[0], parts[1], parts[2], parts[3], case.batch.lengths).log_partition()
    total[total.isfinite()].sum().backward()
    assert parts[0].grad is not None
    assert_close(parts[0].grad, case.structure.marginals())
    for part, known in zip(parts, case.batch[:4], strict=True):
        assert part.grad is None or part.grad[~known.isfinite()].eq(0).all()


def test_gradient_of_the_loss_is_finite_beside_garbage_and_rows_without_an_answer() -> None:
    batch = random_batch(2, 2, 3, 0.3)
    batch.scores[1] = -INF
    parts = differentiable(batch)
    structure = SemiMarkov(parts[0], parts[1], parts[2], parts[3], batch.lengths)
    log_prob = structure.log_prob(structure.sample(1, torch.Generator().manual_seed(0))[0])
    log_prob[log_prob.isfinite()].sum().backward()
    assert all(part.grad is not None and part.grad.isfinite().all() for part in parts)


# -- laws -------------------------------------------------------------------------------------------------------------


def test_segments_of_one_token_are_a_linear_chain() -> None:
    for often in (0.0, 0.3):
        scores, *tables, lengths = random_batch(3, 1, 5, often)
        semi = SemiMarkov(scores, *tables, lengths)
        real = (torch.arange(5) < lengths.unsqueeze(1)).unsqueeze(2)
        chain = LinearChain(torch.where(real, scores[:, :, 0], 0.0), *tables, lengths)
        assert_close(semi.log_partition(), chain.log_partition())
        alive = chain.log_partition().isfinite()
        assert_close(semi.marginals()[alive].squeeze(2), chain.marginals()[alive])
        assert_close(semi.tag_marginals()[alive], chain.marginals()[alive])
        assert_close(semi.entropy()[alive], chain.entropy()[alive])
        mine, theirs = semi.ranked(3), chain.ranked(3)
        assert_close(mine.score, theirs.score)
        found = mine.score.isfinite()
        assert mine.path[found].equal(theirs.path[found])
        assert_close(semi.log_prob(theirs.path[:, 0])[alive], chain.log_prob(theirs.path[:, 0])[alive])


VERBS: dict[str, Callable[[Structure], Tensor]] = {
    "log_partition": lambda s: s.log_partition(),
    "marginals": lambda s: s.marginals(),
    "tag_marginals": lambda s: s.tag_marginals() if isinstance(s, SemiMarkov) else s.marginals(),
    "best": lambda s: s.best().path,
    "ranked": lambda s: s.ranked(3).path,
    "entropy": lambda s: s.entropy(),
    "minimum_risk": lambda s: s.minimum_risk().path,
    "log_prob": lambda s: s.log_prob(s.best().path),
}


@pytest.fixture(params=VERBS.values(), ids=VERBS)
def verb(request: pytest.FixtureRequest) -> Callable[[Structure], Tensor]:
    found: Callable[[Structure], Tensor] = request.param
    return found


def test_what_does_not_fit_into_a_row_never_leaks(verb: Callable[[Structure], Tensor]) -> None:
    batch = random_batch(2, 3, 5, 0.2)
    expected = verb(batch.structure())
    outside = torch.arange(5).unsqueeze(1) + torch.arange(3) >= batch.lengths.view(-1, 1, 1)  # (B, T, S)
    for garbage in (math.nan, INF, -INF, 0.0, 1e300):
        scores = torch.where(outside.unsqueeze(3), garbage, batch.scores)
        assert verb(batch._replace(scores=scores).structure()).equal(expected)


def test_no_segment_leaves_its_row_even_under_other_weights() -> None:
    batch = random_batch(2, 3, 5, 0.0)
    structure = batch.structure()
    found = structure.recursion(LogSemiring(), tuple(torch.zeros_like(part) for part in structure.weights))
    assert_close(found, [math.log(len(batch.answers(row))) for row in range(len(batch.lengths))])
    outside = torch.arange(5).unsqueeze(1) + torch.arange(3) >= batch.lengths.view(-1, 1, 1)  # (B, T, S)
    assert torch.isneginf(structure.weights[0][outside]).all()


def test_rows_in_any_order_and_alone(verb: Callable[[Structure], Tensor]) -> None:
    batch = random_batch(2, 3, 5, 0.2)
    expected = verb(batch.structure())
    order = torch.tensor([3, 0, 5, 2, 6, 1, 4])
    turned = batch._replace(scores=batch.scores[order], lengths=batch.lengths[order])
    assert_close(verb(turned.structure()), expected[order], atol=1e-12)
    for row in range(len(order)):
        length = max(int(batch.lengths[row]), 1)
        alone = batch._replace(scores=batch.scores[row : row + 1, :length], lengths=batch.lengths[row : row + 1])
        found, company = verb(alone.structure())[0], expected[row]
        if found.dim() and found.shape != company.shape:  # the axis of steps is the one that is shorter
            axis = next(a for a in range(found.dim()) if found.shape[a] != company.shape[a])
            company = company.narrow(axis, 0, length)
        assert_close(found, company, atol=1e-12)


def test_tables_for_each_row() -> None:
    batch = random_batch(2, 3, 4, 0.2)
    rows = len(batch.lengths)
    generator = torch.Generator().manual_seed(0)
    each = [torch.randn(rows, *part.shape, generator=generator, dtype=torch.float64) + part for part in batch[1:4]]
    found = SemiMarkov(batch.scores, *each, batch.lengths).log_partition()
    expected = [
        truth_of(Batch(batch.scores, *(part[row] for part in each), batch.lengths), row).log_z for row in range(rows)
    ]
    assert_close(found, expected)


def test_callers_tensors_stay_untouched(verb: Callable[[Structure], Tensor]) -> None:
    batch = random_batch(2, 3, 4, 0.2)
    kept = [part.clone() for part in batch]
    parts = [part.requires_grad_() if part.is_floating_point() else part for part in batch]
    verb(SemiMarkov(parts[0], parts[1], parts[2], parts[3], parts[4]))
    for part, before in zip(parts, kept, strict=True):
        assert_close(part, before, atol=0)
        assert part.grad is None


def test_inference_mode(verb: Callable[[Structure], Tensor]) -> None:
    batch = random_batch(2, 3, 4, 0.2)
    expected = verb(batch.structure())
    with torch.inference_mode():
        made_inside = Batch(*(part.clone() for part in batch))
        assert verb(batch.structure()).equal(expected)
        assert verb(made_inside.structure()).equal(expected)
        assert made_inside.structure().sample(2).shape == (2, *batch.scores.shape[:2])


def test_half_precision_is_computed_in_float32() -> None:
    batch = random_batch(2, 3, 4, 0.0)
    for dtype in (torch.float16, torch.bfloat16):
        low = [part.to(dtype) for part in batch[:4]]
        half = SemiMarkov(low[0], low[1], low[2], low[3], batch.lengths)
        single = SemiMarkov(low[0].float(), low[1].float(), low[2].float(), low[3].float(), batch.lengths)
        assert half.log_partition().dtype == half.marginals().dtype == torch.float32
        assert half.log_partition().equal(single.log_partition())
        assert half.marginals().equal(single.marginals())


def test_long_rows_keep_their_digits_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(1, 600, 3, 2, generator=generator) * 3 + 100
    tables = [torch.randn(shape, generator=generator) for shape in ((2, 2), (2,), (2,))]
    lengths = torch.tensor([600])
    single = SemiMarkov(scores, tables[0], tables[1], tables[2], lengths)
    double = SemiMarkov(scores.double(), tables[0].double(), tables[1].double(), tables[2].double(), lengths)
    assert_close(single.marginals(), double.marginals(), atol=1e-6)
    target = double.sample(1, generator)[0]
    assert_close(single.log_prob(target), double.log_prob(target), atol=1e-3)


def test_gaps_of_thousands_of_nats_stay_finite() -> None:
    batch = random_batch(2, 3, 4, 0.3)
    steep = Batch(*(part * 5000 for part in batch[:4]), batch.lengths)
    found = steep.structure()
    assert_close(found.log_partition(), [truth_of(steep, row).log_z for row in range(len(batch.lengths))], atol=1e-7)
    assert found.marginals().isfinite().all()


# -- segments from tokens ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", (0, 1, 4))
@pytest.mark.parametrize("longest", (1, 3, 6))
def test_scores_of_tokens_add_up(steps: int, longest: int) -> None:
    generator = torch.Generator().manual_seed(steps)
    lengths = torch.tensor([steps, steps // 2, 0])
    emissions = torch.randn(3, steps, 2, generator=generator, dtype=torch.float64)
    emissions[:1, :1, 1] = -INF
    by_length = torch.randn(longest, 2, generator=generator, dtype=torch.float64)
    by_length[longest // 2, 0] = -INF
    emissions[2], emissions[1, steps // 2 :] = math.nan, INF
    tables = torch.zeros(2, 2), torch.zeros(2), torch.zeros(2)
    structure = SemiMarkov.of_tokens(emissions, longest, *tables, lengths, length_scores=by_length)
    for row, length in enumerate(lengths.tolist()):
        for t in range(length):
            for s in range(min(longest, length - t)):
                for k in range(2):
                    expected = sum(float(emissions[row, u, k]) for u in range(t, t + s + 1)) + float(by_length[s, k])
                    assert float(structure.scores[row, t, s, k]) == pytest.approx(expected, abs=1e-12)
    log_z = structure.log_partition()
    batch = Batch(structure.scores, *tables, lengths)
    assert_close(log_z, [truth_of(batch, row).log_z for row in range(3)])
    plain = SemiMarkov.of_tokens(emissions, longest, *tables, lengths)
    assert_close(plain.scores[:1] + by_length, structure.scores[:1], atol=1e-12)


def test_token_scores_far_apart_keep_each_others_digits() -> None:
    emissions = torch.tensor([[[1e8], [0.5], [0.25]]])
    tables = torch.zeros(1, 1), torch.zeros(1), torch.zeros(1)
    structure = SemiMarkov.of_tokens(emissions, 2, *tables, torch.tensor([3]))
    assert structure.scores[0, 1].flatten().tolist() == [0.5, 0.75]
    # Half precision holds no 257.
    half = torch.tensor([[[256.0], [1.0], [1.0]]], dtype=torch.bfloat16)
    structure = SemiMarkov.of_tokens(half, 3, *tables, torch.tensor([3]))
    assert structure.scores[0, 0].flatten().tolist() == [256.0, 257.0, 258.0]


def test_gradients_reach_the_tokens() -> None:
    generator = torch.Generator().manual_seed(0)
    emissions = torch.randn(2, 4, 2, generator=generator, dtype=torch.float64)
    emissions[0, 1, 0] = -INF
    emissions.requires_grad_()
    by_length = torch.randn(3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    tables = [torch.zeros(shape, dtype=torch.float64) for shape in ((2, 2), (2,), (2,))]

    def log_z(emissions: Tensor, by_length: Tensor) -> Tensor:
        lengths = torch.tensor([4, 2])
        made = SemiMarkov.of_tokens(emissions, 3, tables[0], tables[1], tables[2], lengths, length_scores=by_length)
        return made.log_partition()

    assert torch.autograd.gradcheck(log_z, (emissions, by_length))
    (found,) = torch.autograd.grad(log_z(emissions, by_length).sum(), emissions)
    structure = SemiMarkov.of_tokens(
        emissions, 3, tables[0], tables[1], tables[2], torch.tensor([4, 2]), length_scores=by_length
    )
    assert_close(found, structure.tag_marginals())  # a token's score counts in every segment over it
    assert found[0, 1, 0] == 0


# -- paths and segments -----------------------------------------------------------------------------------------------


def test_paths_and_segments_translate_both_ways() -> None:
    for tags, longest, steps in ((1, 4, 5), (3, 2, 4), (2, 3, 0)):
        batch = random_batch(tags, longest, steps, 0.0)
        for row, length in enumerate(batch.lengths.tolist()):
            answers = batch.answers(row)
            paths = path_of(answers, steps, tags)
            assert paths.tolist() == [batch.path(answer) for answer in answers]
            back = segments_of(paths, torch.full((len(answers),), length), tags)
            assert [tuple(map(tuple, parts)) for parts in back] == answers
            assert all(isinstance(part, Segment) for parts in back for part in parts)


# Of a row of 4 tokens among 5, two labels, segments of at most 3 tokens.
WRONG = {
    "starts inside a segment": [-1, 0, 0, 0, 0],
    "ends too early": [2, -1, 0, -1, 0],
    "ends too early in the middle": [2, -1, -1, 0, 0],
    "cut short by the next": [4, -1, 0, 0, 0],
    "beyond the row": [0, 0, 0, 2, -1],
    "below -1": [2, -2, 0, 0, 0],
    "too long": [6, -1, -1, -1, 0],
}


@pytest.mark.parametrize("path", WRONG.values(), ids=WRONG)
def test_what_is_no_segmentation_is_refused(path: list[int]) -> None:
    batch = random_batch(2, 3, 5, 0.0)
    target = batch.structure().best().path
    row = batch.lengths.tolist().index(4)
    target[row] = torch.tensor(path)
    for verb in (batch.structure().score, batch.structure().log_prob):
        with pytest.raises(ValueError, match=rf"row {row}: expected 4 tokens cut into segments of at most 3, .* found"):
            verb(target)
    if path != WRONG["too long"]:
        with pytest.raises(ValueError, match=f"row {row}: expected 4 tokens cut into segments, .* found"):
            segments_of(target, batch.lengths, 2)


@pytest.mark.parametrize(
    "parts",
    ([(1, 2, 0)], [(0, 1, 0), (2, 3, 0)], [(0, 2, 0), (1, 3, 0)], [(0, 0, 0)], [(0, 6, 0)], [(0, 1, 2)], [(0, 1, -1)]),
    ids=("late", "gap", "overlap", "empty", "beyond", "no such label", "below 0"),
)
def test_segments_that_make_no_path_are_refused(parts: list[tuple[int, int, int]]) -> None:
    with pytest.raises(ValueError, match=r"segments of row 1: expected \(start, end, label\) .* found"):
        path_of([[(0, 5, 1)], parts], 5, 2)


GOOD = (torch.zeros(2, 3, 2, 2), torch.zeros(2, 2), torch.zeros(2), torch.zeros(2), torch.tensor([3, 0]))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    (
        (0, torch.zeros(2, 3, 2), "scores: expected .* found"),
        (0, torch.zeros(2, 3, 2, 2, dtype=torch.int64), "scores: expected floating-point .* found torch.int64"),
        (0, torch.zeros(2, 3, 0, 2), "scores: expected .* at least one"),
        (0, torch.zeros(2, 3, 2, 0), "scores: expected .* at least one"),
        (1, torch.zeros(3, 3), "transitions: expected"),
        (1, torch.zeros(3, 2, 2), "transitions: expected"),
        (1, torch.zeros(2, 2, dtype=torch.int64), "transitions: expected floating-point"),
        (2, torch.zeros(3), "start: expected"),
        (3, torch.zeros(2, 2, 2), "end: expected"),
        (4, torch.tensor([3]), "lengths: expected 2 whole numbers from 0 to 3"),
        (4, torch.tensor([4, 0]), "lengths: expected"),
        (4, torch.tensor([3, -1]), "lengths: expected"),
        (4, torch.tensor([3.0, 1.0]), "lengths: expected"),
    ),
)
def test_bad_calls_are_errors(place: int, value: Tensor, message: str) -> None:
    parts = list(GOOD)
    parts[place] = value
    with pytest.raises(ValueError, match=message):
        SemiMarkov(*parts)


def test_bad_targets_and_options_are_errors() -> None:
    structure = SemiMarkov(*GOOD)
    for target in (torch.zeros(2, 2, dtype=torch.int64), torch.zeros(3, dtype=torch.int64)):
        with pytest.raises(ValueError, match=r"expected a target of shape \(2, 3\)"):
            structure.score(target)
    with pytest.raises(ValueError, match=r"integers, found torch.float32"):
        structure.score(torch.zeros(2, 3))
    emissions, tables = torch.zeros(2, 3, 2), GOOD[1:4]
    with pytest.raises(ValueError, match="max_length: expected a whole number"):
        SemiMarkov.of_tokens(emissions, 0, *tables, GOOD[4])
    with pytest.raises(ValueError, match="emissions: expected floating-point"):
        SemiMarkov.of_tokens(emissions.long(), 2, *tables, GOOD[4])
    with pytest.raises(ValueError, match="length_scores: expected"):
        SemiMarkov.of_tokens(emissions, 2, *tables, GOOD[4], length_scores=torch.zeros(3, 2))
    with pytest.raises(ValueError, match="path of shape"):
        segments_of(torch.zeros(3, dtype=torch.int64), torch.tensor([3]), 2)
