"""LinearChain against enumeration: compiled, derived and in double precision, on ragged and on adversarial rows."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import oracles
import pytest
import torch
from definition import Definition
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Chain
from torch import Tensor

from structseq import compiling
from structseq.spans import scheme_of
from structseq.structures import chain as chain_module
from structseq.structures import forward_backward
from structseq.structures.base import LogSemiring
from structseq.structures.chain import EdgePattern, LinearChain

INF = math.inf


class Batch(NamedTuple):
    """Weights in float64, all of them float32's own numbers, so that both precisions see the same chain."""

    scores: np.ndarray
    transitions: np.ndarray
    start: np.ndarray
    end: np.ndarray
    lengths: np.ndarray

    def rows(self) -> list[Chain]:
        return [
            Chain(scores[:length], self.transitions, self.start, self.end)
            for scores, length in zip(self.scores, self.lengths, strict=True)
        ]


class Way:
    """One of the ways in which a chain can be computed."""

    def __init__(self, name: str, dtype: torch.dtype, tolerance: float) -> None:
        self.name, self.dtype, self.tolerance = name, dtype, tolerance

    def chain(self, batch: Batch, *, differentiable: bool = False) -> LinearChain:
        parts = [torch.tensor(part, dtype=self.dtype, requires_grad=differentiable) for part in batch[:4]]
        kind = Definition if self.name == "definition" else LinearChain
        chain = kind(parts[0], parts[1], parts[2], parts[3], torch.tensor(batch.lengths))
        assert chain.uses_kernels == (self.name.startswith("compiled") and batch.scores.size > 0)
        return chain


WAYS = (
    Way("compiled", torch.float32, 2e-5),
    Way("compiled double", torch.float64, 1e-10),
    Way("vectorised", torch.float32, 2e-5),
    Way("vectorised double", torch.float64, 1e-10),
    Way("definition", torch.float64, 1e-10),
)
needs_numba = pytest.mark.skipif(not compiling.numba_available(), reason="Numba has no wheel here")


def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer everything by torch's own operations, as on a GPU."""
    monkeypatch.setattr(forward_backward, "can_use_kernels", lambda scores: False)
    monkeypatch.setattr(chain_module, "can_use_kernels", lambda scores: False)


@pytest.fixture(params=WAYS, ids=lambda way: way.name)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Way:
    chosen: Way = request.param
    if chosen.name.startswith("compiled") and not compiling.numba_available():
        pytest.skip("Numba has no wheel here")
    if chosen.name.startswith("vectorised"):
        without_kernels(monkeypatch)
    return chosen


def single(numbers: np.ndarray) -> np.ndarray:
    """Rounded to float32, kept in float64."""
    return np.asarray(numbers, np.float32).astype(np.float64)


@cache
def random_batch(tags: int, steps: int, forbid: float) -> Batch:
    """Four ragged rows, one of them empty; ``forbid``: how much of the tables is -inf."""
    rng = np.random.default_rng([tags, steps, int(100 * forbid)])

    def table(*shape: int, often: float = forbid) -> np.ndarray:
        numbers = single(rng.normal(scale=2.0, size=shape))
        return np.where(rng.random(shape) < often, -INF, numbers)

    lengths = np.array([steps, steps // 2, 0, rng.integers(0, steps + 1)])
    scores = table(4, steps, tags, often=forbid / 3)
    return Batch(scores, table(tags, tags), table(tags), table(tags), lengths)


class Truth(NamedTuple):
    """What enumeration says of one row."""

    log_partition: float
    gradients: oracles.Gradients
    path: oracles.Path
    score: float


def truth_of(row: Chain) -> Truth:
    return Truth(oracles.log_partition(row), oracles.gradients(row), *oracles.best(row))


@cache
def random_cases(tags: int, forbid: float) -> list[tuple[Batch, list[Truth]]]:
    """One batch for each number of steps, with the truth about its rows."""
    found = [random_batch(tags, steps, forbid) for steps in range(1, 6)]
    return [(batch, [truth_of(row) for row in batch.rows()]) for batch in found]


every_case = pytest.mark.parametrize(("tags", "forbid"), list(itertools.product((1, 2, 3, 4), (0.0, 0.3))))


# -- against enumeration ----------------------------------------------------------------------------------------------


@every_case
def test_log_partition(tags: int, forbid: float, way: Way) -> None:
    for batch, truths in random_cases(tags, forbid):
        found = way.chain(batch).log_partition()
        assert found.dtype == way.dtype
        expected = [truth.log_partition for truth in truths]
        np.testing.assert_allclose(found.numpy(), expected, rtol=way.tolerance, atol=way.tolerance)


@every_case
def test_marginals(tags: int, forbid: float, way: Way) -> None:
    for batch, truths in random_cases(tags, forbid):
        found = way.chain(batch).marginals().numpy()
        assert found.shape == batch.scores.shape
        for row, length, truth in zip(found, batch.lengths, truths, strict=True):
            np.testing.assert_allclose(row[:length], truth.gradients.scores, atol=way.tolerance)
            assert not row[length:].any()
            assert not row[:length][truth.gradients.scores == 0].any(), "what is forbidden has probability exactly 0"


@every_case
def test_best_path_and_its_score(tags: int, forbid: float, way: Way) -> None:
    for batch, truths in random_cases(tags, forbid):
        path, score = way.chain(batch).best()
        assert path.dtype == torch.int64 and path.shape == batch.scores.shape[:2]
        for b, truth in enumerate(truths):
            length = int(batch.lengths[b])
            assert float(score[b]) == pytest.approx(truth.score, rel=way.tolerance, abs=way.tolerance)
            assert not path[b, length:].any()
            if truth.score > -INF:
                assert tuple(path[b, :length].tolist()) == truth.path


@every_case
def test_score_and_log_prob_of_any_path(tags: int, forbid: float, way: Way) -> None:
    rng = np.random.default_rng(tags)
    for batch, truths in random_cases(tags, forbid):
        paths = rng.integers(0, tags, batch.scores.shape[:2])
        target = torch.full(paths.shape, -100)
        for b, length in enumerate(batch.lengths):
            target[b, :length] = torch.tensor(paths[b, :length])
        chain = way.chain(batch)
        score, log_prob = chain.score(target), chain.log_prob(target)
        for b, row in enumerate(batch.rows()):
            expected = oracles.path_score(row, tuple(paths[b, : batch.lengths[b]].tolist()))
            assert float(score[b]) == pytest.approx(expected, rel=way.tolerance, abs=way.tolerance)
            if truths[b].log_partition > -INF:
                expected -= truths[b].log_partition
                assert float(log_prob[b]) == pytest.approx(expected, rel=way.tolerance, abs=way.tolerance)


@every_case
def test_gradients_of_log_z_are_expected_counts(tags: int, forbid: float, way: Way) -> None:
    upstream = torch.tensor([1.0, -2.0, 5.0, 0.5], dtype=way.dtype)
    for batch, truths in random_cases(tags, forbid):
        chain = way.chain(batch, differentiable=True)
        found = gradients_of(chain, upstream)
        expected = [np.zeros(part.shape) for part in batch[:4]]
        for b, truth in enumerate(truths):
            expected[0][b, : batch.lengths[b]] += upstream[b].item() * truth.gradients.scores
            for part, counts in zip(expected[1:], truth.gradients[1:], strict=True):
                part += upstream[b].item() * counts
        for gradient, counts, values in zip(found, expected, batch[:4], strict=True):
            np.testing.assert_allclose(gradient.numpy(), counts, atol=10 * way.tolerance)
            assert not gradient.numpy()[np.isneginf(values)].any(), "what is forbidden has gradient exactly 0"


def gradients_of(chain: LinearChain, upstream: Tensor) -> tuple[Tensor, ...]:
    """Of log Z by scores, transitions, start and end."""
    leaves = (chain.scores, chain.transitions, chain.start, chain.end)
    return torch.autograd.grad(chain.log_partition(), leaves, upstream, materialize_grads=True)


def test_gradients_of_log_prob_are_gold_less_expected_counts(way: Way) -> None:
    batch = random_batch(3, 4, 0.0)
    chain = way.chain(batch, differentiable=True)
    path = (2, 0, 0, 1)
    chain.log_prob(torch.tensor([path] * 4))[0].backward()
    truth = oracles.gradients(batch.rows()[0])
    gold = np.zeros((4, 3))
    gold[range(4), path] = 1
    transitions = np.zeros((3, 3))
    for before, after in itertools.pairwise(path):
        transitions[before, after] += 1
    np.testing.assert_allclose(chain.scores.grad[0], gold - truth.scores, atol=way.tolerance)  # type: ignore[index]
    np.testing.assert_allclose(chain.transitions.grad, transitions - truth.transitions, atol=way.tolerance)
    np.testing.assert_allclose(chain.start.grad, np.eye(3)[2] - truth.start, atol=way.tolerance)
    np.testing.assert_allclose(chain.end.grad, np.eye(3)[1] - truth.end, atol=way.tolerance)


def test_the_definition_is_differentiable_twice() -> None:
    rng = np.random.default_rng(0)
    leaves = [torch.tensor(rng.normal(size=shape), requires_grad=True) for shape in ((3, 3, 2), (2, 2), (2,), (2,))]
    lengths = torch.tensor([3, 0, 2])

    def log_z(*parts: Tensor) -> Tensor:
        return LinearChain(parts[0], parts[1], parts[2], parts[3], lengths).log_partition()

    assert torch.autograd.gradcheck(log_z, leaves)
    assert torch.autograd.gradgradcheck(log_z, leaves)


@needs_numba
def test_the_compiled_gradient_is_right_twice_or_refuses() -> None:
    """A penalty on the gradient must never be dropped without a word."""
    batch = random_batch(2, 3, 0.0)
    found = []
    for way in (WAYS[0], WAYS[1]):
        chain = way.chain(batch, differentiable=True)
        log_z = chain.log_partition().sum()
        try:
            (gradient,) = torch.autograd.grad(log_z, chain.scores, create_graph=True)
            (log_z + gradient.square().sum()).backward()
        except RuntimeError:
            return
        assert chain.scores.grad is not None
        found.append(chain.scores.grad.double())
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)


# -- nothing to do ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(0, 3, 2), (0, 0, 2), (2, 0, 2), (2, 3, 2)], ids=str)
def test_empty_batches_empty_steps_and_empty_rows(shape: tuple[int, int, int], way: Way) -> None:
    batch = Batch(np.ones(shape), np.ones((2, 2)), np.ones(2), np.ones(2), np.zeros(shape[0], np.int64))
    chain = way.chain(batch)
    rows, steps, _ = shape
    assert torch.equal(chain.log_partition(), torch.zeros(rows, dtype=way.dtype))
    assert torch.equal(chain.log_prob(torch.zeros(rows, steps, dtype=torch.int64)), torch.zeros(rows, dtype=way.dtype))
    assert torch.equal(chain.marginals(), torch.zeros(shape, dtype=way.dtype))
    path, score = chain.best()
    assert torch.equal(path, torch.zeros(rows, steps, dtype=torch.int64))
    assert torch.equal(score, torch.zeros(rows, dtype=way.dtype))


@pytest.mark.parametrize("shape", [(2, 0, 2), (2, 3, 2)], ids=str)
def test_an_empty_row_gives_no_gradient(shape: tuple[int, int, int], way: Way) -> None:
    batch = Batch(np.ones(shape), np.ones((2, 2)), np.ones(2), np.ones(2), np.zeros(2, np.int64))
    chain = way.chain(batch, differentiable=True)
    log_prob = chain.log_prob(torch.zeros(shape[:2], dtype=torch.int64))
    leaves = (chain.scores, chain.transitions, chain.start, chain.end)
    found = torch.autograd.grad(log_prob.sum(), leaves, allow_unused=True)
    assert not any(gradient.any() for gradient in found if gradient is not None)


# -- scores that break a careless recursion ---------------------------------------------------------------------------


def two_tracks(*steps: tuple[float, float]) -> Chain:
    """Two tags that can never follow each other: two paths, and what one loses the other does not get."""
    return Chain(np.array(steps, np.float64), np.array([[0.0, -INF], [-INF, 0.0]]), np.zeros(2), np.zeros(2))


def shifted(chain: Chain, by: float, stretch: float = 1.0) -> Chain:
    return chain._replace(scores=single(chain.scores * stretch + by))


def plain(steps: int = 5, tags: int = 3) -> Chain:
    rng = np.random.default_rng(11)
    return Chain(*(single(rng.normal(size=shape)) for shape in ((steps, tags), (tags, tags), (tags,), (tags,))))


ADVERSARIAL: dict[str, Chain] = {
    "offset of 10,000 nats": shifted(plain(), 1e4),
    "offset of -10,000 nats": shifted(plain(), -1e4),
    "gaps of 10,000 nats": shifted(plain(), 0.0, 1e4),
    "transitions of thousands": plain()._replace(transitions=single(plain().transitions * 3e3)),
    "one huge transition that cannot be reached": plain()._replace(
        transitions=np.array([[0.5, -0.5, -INF], [1.0, 0.0, -INF], [0.0, 0.0, 1e4]]), start=np.array([0.3, 0.1, -INF])
    ),
    "the only legal tag is 200 nats below": two_tracks((0, 0), (-200, 0), (-200, 0))._replace(
        start=np.array([0, -INF])
    ),
    "one gap of 200 nats": two_tracks((0, 0), (0, -200), (0, 0)),
    "a gap of 200 nats at the end table": two_tracks((0, 0), (1, 0), (0, 0))._replace(end=np.array([-200.0, 0])),
    "the illegal tag gains 55 nats a step": two_tracks(*[(-55, 0)] * 6)._replace(start=np.array([0, -INF])),
    "the illegal tag gains 200 nats a step": two_tracks(*[(-200, 0)] * 6)._replace(start=np.array([0, -INF])),
    "behind by 110 nats, then far ahead": two_tracks((0, -110), *[(-60, 0)] * 6),
    "far ahead, then behind by 110 nats": two_tracks(*[(-60, 0)] * 6, (0, -110)),
    "behind at both ends, far ahead between": two_tracks((0, -110), *[(-60, 0)] * 8, (0, -110)),
    "behind little by little at both ends": two_tracks(*[(0, -60)] * 2, *[(-60, 0)] * 8, *[(0, -60)] * 2),
    "start against it, score and end for it": Chain(
        np.array([[0.0, 69.0]]), np.zeros((2, 2)), np.array([44.0, -60.0]), np.array([-60.0, 0.0])
    ),
    "one token whose best tag may not start": Chain(
        np.array([[-80.0, 0.0]]), np.zeros((2, 2)), np.array([0.0, -INF]), np.zeros(2)
    ),
    "nearly lost, and back": two_tracks((0, -68), *[(-46, 0)] * 6)._replace(
        transitions=np.array([[0.0, -INF], [-INF, -34.0]])
    ),
    "one tag only, of 10,000 nats": Chain(np.full((4, 1), 1e4), np.full((1, 1), -1e4), np.ones(1), np.ones(1)),
    "emissions forbid all but one tag": plain()._replace(
        scores=np.where(np.eye(3)[[0, 1, 2, 0, 1]] > 0, 1.5, -INF),
    ),
    "no path at all": two_tracks((0, 0), (0, 0))._replace(start=np.array([0, -INF]), end=np.array([-INF, 0])),
    "a step that allows no tag": two_tracks((0, 0), (-INF, -INF), (0, 0)),
    "no transition at all": plain()._replace(transitions=np.full((3, 3), -INF)),
}
adversarial = pytest.mark.parametrize("name", ADVERSARIAL)


def batch_of(*rows: Chain) -> Batch:
    """Rows that share their tables, padded with NaN."""
    longest = max(len(row.scores) for row in rows)
    scores = np.full((len(rows), longest, rows[0].scores.shape[1]), math.nan)
    for b, row in enumerate(rows):
        scores[b, : len(row.scores)] = row.scores
    return Batch(scores, *rows[0][1:], np.array([len(row.scores) for row in rows]))


def with_company(row: Chain) -> Batch:
    """The row between well-behaved ones: what happens to it must not touch them, nor they it."""
    calm = row._replace(scores=np.zeros((len(row.scores) + 1, row.scores.shape[1])))
    return batch_of(calm, row, calm._replace(scores=calm.scores[:1]))


@cache
def adversarial_case(name: str) -> tuple[Batch, list[Truth]]:
    batch = with_company(ADVERSARIAL[name])
    return batch, [truth_of(row) for row in batch.rows()]


@adversarial
def test_adversarial_log_partition(name: str, way: Way) -> None:
    batch, truths = adversarial_case(name)
    found = way.chain(batch).log_partition().numpy()
    np.testing.assert_allclose(found, [truth.log_partition for truth in truths], rtol=1e-6, atol=1e-4)


@adversarial
def test_adversarial_marginals(name: str, way: Way) -> None:
    batch, truths = adversarial_case(name)
    found = way.chain(batch).marginals().numpy()
    for row, length, truth in zip(found, batch.lengths, truths, strict=True):
        # at 10,000 nats float32 has steps of a thousandth
        np.testing.assert_allclose(row[:length], truth.gradients.scores, atol=5e-3 if "10,000" in name else 1e-4)
        assert not row[length:].any()


@adversarial
def test_adversarial_gradients(name: str, way: Way) -> None:
    batch, truths = adversarial_case(name)
    found = gradients_of(way.chain(batch, differentiable=True), torch.ones(3, dtype=way.dtype))
    counts = [truth.gradients for truth in truths]
    for b, length in enumerate(batch.lengths):
        np.testing.assert_allclose(found[0][b, :length], counts[b].scores, atol=1e-2 if "10,000" in name else 1e-4)
        assert not found[0][b, length:].any()
    for gradient, parts in zip(found[1:], list(zip(*counts, strict=True))[1:], strict=True):
        np.testing.assert_allclose(gradient, sum(parts), atol=2e-2 if "10,000" in name else 1e-4)


@adversarial
def test_adversarial_best(name: str, way: Way) -> None:
    batch, truths = adversarial_case(name)
    path, score = way.chain(batch).best()
    for b, truth in enumerate(truths):
        assert float(score[b]) == pytest.approx(truth.score, rel=1e-6, abs=1e-4)
        if truth.score > -INF:
            assert tuple(path[b, : len(truth.path)].tolist()) == truth.path


def test_a_batch_of_single_tokens_that_underflows_has_gradients(way: Way) -> None:
    row = ADVERSARIAL["one token whose best tag may not start"]
    found = gradients_of(way.chain(batch_of(row), differentiable=True), torch.ones(1, dtype=way.dtype))
    for gradient, counts in zip((found[0][0], *found[1:]), oracles.gradients(row), strict=True):
        np.testing.assert_allclose(gradient, counts, atol=1e-6)


SCORES = st.floats(-300, 300, width=16) | st.just(-INF) | st.sampled_from([0.0, -60.0, 60.0, -110.0, 1e4])


@st.composite
def wild_chains(draw: st.DrawFn) -> Chain:
    """Any two or three tags, four steps: gaps of hundreds of nats and forbidden transitions anywhere."""
    tags = draw(st.integers(2, 3))
    steps = draw(st.integers(1, 5))

    def table(*shape: int) -> np.ndarray:
        count = math.prod(shape)
        return np.array(draw(st.lists(SCORES, min_size=count, max_size=count))).reshape(shape)

    return Chain(table(steps, tags), table(tags, tags), table(tags), table(tags))


@needs_numba
@given(chain=wild_chains())
@settings(max_examples=150)
def test_compiled_answers_hold_for_wild_scores(chain: Chain) -> None:
    batch = batch_of(chain)
    found = WAYS[0].chain(batch, differentiable=True)
    truth = oracles.gradients(chain)
    log_z = float(found.log_partition().detach())
    assert log_z == pytest.approx(oracles.log_partition(chain), rel=1e-5, abs=1e-3)
    np.testing.assert_allclose(found.marginals()[0], truth.scores, atol=1e-2)
    for gradient, counts in zip(gradients_of(found, torch.ones(1)), truth, strict=True):
        np.testing.assert_allclose(gradient[0] if gradient.dim() == 3 else gradient, counts, atol=2e-2)
    assert float(found.best().score) == pytest.approx(oracles.best(chain)[1], rel=1e-6, abs=1e-3)


# -- padding, neighbours, order ---------------------------------------------------------------------------------------


def answers(chain: LinearChain, target: Tensor) -> list[Tensor]:
    """Everything a chain can say, and the gradient it gives."""
    leaves = [part for part in (chain.scores, chain.transitions, chain.start, chain.end) if part.requires_grad]
    log_prob = chain.log_prob(target)
    gradients = torch.autograd.grad(log_prob.sum(), leaves) if leaves else ()
    return [log_prob.detach(), chain.log_partition().detach(), chain.marginals(), *chain.best(), *gradients]


@pytest.mark.parametrize("garbage", [math.nan, INF, -INF, 1e30, -1e30])
@pytest.mark.parametrize("beyond", [0, 3])
def test_padding_is_never_read(garbage: float, beyond: int, way: Way) -> None:
    batch = random_batch(3, 5, 0.0)
    dirty = np.full((4, 5 + beyond, 3), garbage)
    for b, length in enumerate(batch.lengths):
        dirty[b, :length] = batch.scores[b, :length]
    clean = np.where(np.arange(5)[:, None] < batch.lengths[:, None, None], batch.scores, 0.0)
    target = torch.ones(4, 5, dtype=torch.int64)
    expected = answers(way.chain(batch._replace(scores=clean), differentiable=True), target)
    found = answers(
        way.chain(batch._replace(scores=dirty), differentiable=True),
        torch.nn.functional.pad(target, (0, beyond), value=-100),
    )
    for one, other in zip(found, expected, strict=True):
        if one.dim() > 1 and one.shape[:1] == (4,):
            assert not one[:, 5:].any()
            one = one[:, :5]
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("garbage", [math.nan, INF])
@pytest.mark.parametrize("step", [0, 1, 3])
def test_what_is_no_number_where_it_counts_is_never_a_loss_of_nothing(garbage: float, step: int, way: Way) -> None:
    batch = random_batch(3, 4, 0.0)
    scores = batch.scores.copy()
    scores[0, step, 1] = garbage
    target = torch.zeros(4, 4, dtype=torch.int64)
    chain, clean = way.chain(batch._replace(scores=scores)), way.chain(batch)
    assert not math.isfinite(chain.log_partition()[0]) and chain.log_partition()[0] != -INF
    assert not chain.log_prob(target)[0] > -INF, "no probability, and not a sure one"
    assert torch.equal(chain.log_prob(target)[1:], clean.log_prob(target)[1:])


def test_each_row_alone_gives_what_it_gives_in_company(way: Way) -> None:
    batch = random_batch(4, 5, 0.0)
    target = torch.randint(4, (4, 5), generator=torch.Generator().manual_seed(0))
    together = answers(way.chain(batch), target)
    for b, length in enumerate(batch.lengths.tolist()):
        row = batch._replace(scores=batch.scores[b : b + 1, :length], lengths=batch.lengths[b : b + 1])
        alone = answers(way.chain(row), target[b : b + 1, :length])
        for one, other in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], other[b, :length] if other.dim() > 1 else other[b])


def test_permuted_rows_give_permuted_answers(way: Way) -> None:
    batch = random_batch(3, 4, 0.3)
    order = [2, 0, 3, 1]
    target = torch.zeros(4, 4, dtype=torch.int64)
    expected = answers(way.chain(batch), target)
    moved = way.chain(batch._replace(scores=batch.scores[order], lengths=batch.lengths[order]))
    for one, other in zip(answers(moved, target), expected, strict=True):
        torch.testing.assert_close(one, other[order], equal_nan=True)


def test_strides_do_not_matter(way: Way) -> None:
    batch = random_batch(3, 5, 0.0)
    straight = way.chain(batch, differentiable=True)
    target = torch.ones(4, 5, dtype=torch.int64)
    expected = answers(straight, target)
    steps_first = straight.scores.detach().transpose(0, 1).contiguous().requires_grad_()
    columns_first = straight.transitions.detach().T.contiguous().requires_grad_()
    wide = torch.stack([straight.start.detach(), straight.end.detach()], 1).requires_grad_()
    lengths = torch.stack([straight.lengths, straight.lengths], 1)[:, 0].int()
    crooked = LinearChain(steps_first.transpose(0, 1), columns_first.T, wide[:, 0], wide[:, 1], lengths)
    log_prob = crooked.log_prob(target)
    by_scores, by_transitions, by_ends = torch.autograd.grad(log_prob.sum(), (steps_first, columns_first, wide))
    found = [log_prob, crooked.log_partition(), crooked.marginals(), *crooked.best()]
    found += [by_scores.transpose(0, 1), by_transitions.T, by_ends[:, 0], by_ends[:, 1]]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.detach(), other.detach())


def test_one_row_expanded_over_the_batch(way: Way) -> None:
    scores = torch.tensor(single(np.random.default_rng(0).normal(size=(1, 3, 2))), dtype=way.dtype)
    zero, lengths = torch.zeros(2, dtype=way.dtype), torch.tensor([3, 2, 1])
    lazy = LinearChain(scores.expand(3, -1, -1), torch.zeros(2, 2), zero, zero, lengths)
    solid = LinearChain(scores.repeat(3, 1, 1), torch.zeros(2, 2), zero, zero, lengths)
    torch.testing.assert_close(lazy.log_partition(), solid.log_partition())
    torch.testing.assert_close(lazy.marginals(), solid.marginals())


@pytest.mark.parametrize("lengths", [[3.0, 1.0], [True, False], [3], [3, 4], [-1, 3]], ids=str)
def test_lengths_are_whole_numbers_that_fit(lengths: list[float]) -> None:
    zero = torch.zeros(2)
    with pytest.raises(ValueError, match="lengths: expected 2 whole numbers from 0 to 3, found"):
        LinearChain(torch.zeros(2, 3, 2), torch.zeros(2, 2), zero, zero, torch.tensor(lengths))


# -- the caller's tensors, modes and threads --------------------------------------------------------------------------


def test_the_callers_tensors_stay_untouched(way: Way) -> None:
    batch = random_batch(3, 4, 0.3)
    parts = [torch.tensor(part, dtype=way.dtype) for part in batch[:4]] + [torch.tensor(batch.lengths)]
    target = torch.zeros(4, 4, dtype=torch.int64)
    before = [part.clone() for part in (*parts, target)]
    answers(LinearChain(*parts), target)  # type: ignore[arg-type]
    for part, kept in zip((*parts, target), before, strict=True):
        torch.testing.assert_close(part, kept, rtol=0, atol=0)
        assert not part.requires_grad and part.grad is None


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("learned", [False, True])
def test_answers_do_not_depend_on_the_grad_mode(mode: Callable[[], torch.no_grad], learned: bool, way: Way) -> None:
    batch = random_batch(3, 4, 0.0)
    target = torch.ones(4, 4, dtype=torch.int64)
    expected = answers(way.chain(batch), target)
    outside = way.chain(batch, differentiable=learned)
    with mode():
        inside = way.chain(batch, differentiable=learned)
        for chain in (outside, inside):
            found = [chain.log_prob(target), chain.log_partition(), chain.marginals(), *chain.best()]
            for one, other in zip(found, expected, strict=True):
                torch.testing.assert_close(one, other)


@needs_numba
def test_eight_threads_get_what_one_gets() -> None:
    batches = [random_batch(tags, 5, forbid) for tags in (2, 3, 4) for forbid in (0.0, 0.3)]
    batches.append(with_company(ADVERSARIAL["the only legal tag is 200 nats below"]))

    def ask(chain: LinearChain) -> list[Tensor]:
        return answers(chain, torch.zeros(chain.scores.shape[:2], dtype=torch.int64))

    expected = [ask(WAYS[0].chain(batch, differentiable=True)) for batch in batches]
    shared = [WAYS[0].chain(batch, differentiable=True) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        own = [pool.submit(ask, WAYS[0].chain(batch, differentiable=True)) for _ in range(8) for batch in batches]
        common = [pool.submit(ask, chain) for _ in range(8) for chain in shared]
        for work in (own, common):
            for number, future in enumerate(work):
                for one, other in zip(future.result(), expected[number % len(batches)], strict=True):
                    torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def test_without_numba_the_torch_path_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "numba_available", lambda: False)
    monkeypatch.delitem(sys.modules, "structseq.structures.kernels", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    batch, truths = random_cases(3, 0.0)[3]
    chain = LinearChain(*(torch.tensor(part).float() for part in batch[:4]), torch.tensor(batch.lengths))  # type: ignore[arg-type]
    assert not chain.uses_kernels
    np.testing.assert_allclose(chain.log_partition(), [truth.log_partition for truth in truths], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(chain.marginals()[0], truths[0].gradients.scores, atol=1e-5)
    assert tuple(chain.best().path[0].tolist()) == truths[0].path
    spans = [(0, 0, 2, 0)]
    np.testing.assert_allclose(
        chain.span_probabilities(spans, patterns_of("BIO", ("O", "B-x", "I-x"))),
        true_span_probabilities(batch.rows()[0], "BIO", ("O", "B-x", "I-x"), [(0, 2, "x")]),
        atol=1e-5,
    )


# -- precision --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(3)
    parts = [torch.randn(shape, generator=generator).to(dtype) for shape in ((2, 200, 5), (5, 5), (5,), (5,))]
    lengths = torch.tensor([200, 150])
    target = torch.randint(5, (2, 200), generator=generator)
    exact = LinearChain(*(part.double() for part in parts), lengths)  # type: ignore[arg-type]
    for compiled in (True, False):
        if not compiled:
            without_kernels(monkeypatch)
        half = LinearChain(*parts, lengths)  # type: ignore[arg-type]
        assert half.log_partition().dtype == torch.float32
        torch.testing.assert_close(half.log_partition().double(), exact.log_partition(), rtol=1e-5, atol=0)
        torch.testing.assert_close(half.log_prob(target).double(), exact.log_prob(target), rtol=1e-5, atol=0)
        torch.testing.assert_close(half.marginals().double(), exact.marginals(), rtol=0, atol=2e-3)
        assert (half.best().path == exact.best().path).float().mean() > 0.99


def test_half_precision_emissions_with_float32_tables_give_half_precision_gradients(way: Way) -> None:
    scores = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    tables = [torch.zeros(shape, dtype=way.dtype, requires_grad=True) for shape in ((4, 4), (4,), (4,))]
    chain = LinearChain(scores, tables[0], tables[1], tables[2], torch.tensor([3, 1]))
    chain.log_partition().sum().backward()
    assert scores.grad is not None and scores.grad.dtype == torch.bfloat16
    torch.testing.assert_close(scores.grad.sum((1, 2)).float(), torch.tensor([3.0, 1.0]), atol=0.05, rtol=0)
    assert tables[0].grad is not None and tables[0].grad.dtype == way.dtype


def test_autocast_does_not_reach_the_recursions(way: Way) -> None:
    rng = np.random.default_rng(5)
    batch = Batch(
        *(single(rng.normal(size=shape)) for shape in ((4, 60, 5), (5, 5), (5,), (5,))), np.array([60, 7, 0, 33])
    )
    plain_chain, cast_chain = (way.chain(batch, differentiable=True) for _ in range(2))
    plain_chain.log_partition().sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        log_z = cast_chain.log_partition()
        log_z.sum().backward()
        marginals = cast_chain.marginals()
    torch.testing.assert_close(log_z, plain_chain.log_partition(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(marginals, plain_chain.marginals(), rtol=0, atol=1e-6)
    for name in ("scores", "transitions", "start", "end"):
        torch.testing.assert_close(
            getattr(cast_chain, name).grad, getattr(plain_chain, name).grad, rtol=1e-5, atol=1e-5
        )


@cache
def long_row() -> Chain:
    rng = np.random.default_rng(2000)
    return Chain(*(single(rng.normal(size=shape)) for shape in ((2000, 9), (9, 9), (9,), (9,))))


def test_two_thousand_steps(way: Way) -> None:
    row = long_row()
    chain = way.chain(
        batch_of(row, row._replace(scores=row.scores[:3])), differentiable=way.name.startswith("compiled")
    )
    log_z = float(chain.log_partition()[0].detach())
    assert log_z == pytest.approx(oracles.long_log_partition(row), rel=2e-5)
    np.testing.assert_allclose(chain.marginals()[0], oracles.long_marginals(row), atol=1e-4)
    path, score = chain.best()
    optimum = oracles.long_best(row)[1]
    assert oracles.path_score(row, tuple(path[0].tolist())) == pytest.approx(optimum, abs=2e-2)
    assert float(score[0]) == pytest.approx(optimum, rel=1e-5)
    if way.name.startswith("compiled"):
        (transitions,) = torch.autograd.grad(chain.log_partition()[0], chain.transitions)
        assert float(transitions.sum()) == pytest.approx(1999, rel=1e-4)


def test_many_tags(way: Way) -> None:
    rng = np.random.default_rng(60)
    shapes = ((3, 12, 60), (60, 60), (60,), (60,))
    batch = Batch(*(single(rng.normal(scale=3, size=shape)) for shape in shapes), np.array([12, 1, 7]))
    chain = way.chain(batch)
    marginals, (path, score) = chain.marginals(), chain.best()
    for b, row in enumerate(batch.rows()):
        length = len(row.scores)
        expected_path, expected_score = oracles.long_best(row)
        assert float(chain.log_partition()[b]) == pytest.approx(oracles.long_log_partition(row), rel=1e-5)
        np.testing.assert_allclose(marginals[b, :length], oracles.long_marginals(row), atol=2e-5)
        assert path[b, :length].tolist() == expected_path
        assert float(score[b]) == pytest.approx(expected_score, rel=1e-5)


# -- ties, shifts, counts ---------------------------------------------------------------------------------------------


@given(data=st.data())
@settings(max_examples=60)
@pytest.mark.parametrize("name", ["compiled", "compiled double", "definition"])
def test_ties_go_to_the_lowest_tag_from_the_end(name: str, data: st.DataObject) -> None:
    tags, steps = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 5))
    small = st.integers(-1, 1).map(float) | st.just(-INF)

    def table(*shape: int) -> np.ndarray:
        count = math.prod(shape)
        return np.array(data.draw(st.lists(small, min_size=count, max_size=count))).reshape(shape)

    row = Chain(table(steps, tags), table(tags, tags), table(tags), table(tags))
    way = next(way for way in WAYS if way.name == name)
    if name.startswith("compiled") and not compiling.numba_available():
        return
    path, score = way.chain(batch_of(row)).best()
    expected_path, expected = oracles.best(row)
    assert float(score) == expected
    if expected > -INF:
        assert tuple(path[0].tolist()) == expected_path


def test_adding_to_one_steps_scores_moves_log_z_alone(way: Way) -> None:
    batch = random_batch(3, 5, 0.0)
    raised = batch.scores.copy()
    raised[:, 2] += 7
    before, after = way.chain(batch), way.chain(batch._replace(scores=raised))
    reached = torch.tensor(batch.lengths > 2)
    torch.testing.assert_close(after.log_partition(), before.log_partition() + 7 * reached, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(after.marginals(), before.marginals(), rtol=0, atol=1e-5)
    assert torch.equal(after.best().path, before.best().path)


def test_reading_backwards_with_turned_tables_is_the_same(way: Way) -> None:
    batch = random_batch(4, 5, 0.0)
    batch = batch._replace(lengths=np.full(4, 5))
    turned = Batch(batch.scores[:, ::-1].copy(), batch.transitions.T, batch.end, batch.start, batch.lengths)
    there, back = way.chain(batch), way.chain(turned)
    torch.testing.assert_close(there.log_partition(), back.log_partition())
    torch.testing.assert_close(there.marginals(), back.marginals().flip(1), rtol=0, atol=1e-5)


def test_equal_weights_count_the_legal_paths(way: Way) -> None:
    legal = scheme_of("BIO").legal(("O", "B-x", "I-x"))
    tables = [np.where(part, 0.0, -INF) for part in (legal.transitions, legal.start, legal.end)]
    counts = [1, 2, 5, 13, 34, 89]
    batch = Batch(np.zeros((6, 5, 3)), *tables, np.arange(6))
    np.testing.assert_allclose(way.chain(batch).log_partition().exp(), counts, rtol=1e-5)


def test_two_posteriors_are_one_computation_and_agree(way: Way) -> None:
    chain = way.chain(random_batch(3, 5, 0.0), differentiable=True)
    first = chain.marginals()
    log_z = chain.log_partition()
    (gradient,) = torch.autograd.grad(log_z.sum(), chain.scores)
    torch.testing.assert_close(gradient, first, rtol=0, atol=1e-5)
    torch.testing.assert_close(chain.marginals(), first, rtol=0, atol=0)


def test_a_target_that_is_no_tag_is_an_error(way: Way) -> None:
    chain = way.chain(random_batch(3, 4, 0.0))
    for wrong in (3, -1, -100):
        target = torch.zeros(4, 4, dtype=torch.int64)
        target[0, 1] = wrong
        with pytest.raises((IndexError, RuntimeError)):
            chain.score(target)


OUT_OF_SHAPE = """
import numpy
import torch
from structseq.structures.base import LogSemiring
from structseq.structures.chain import EdgePattern, LinearChain

def chain(lengths):
    zero = torch.zeros(3)
    return LinearChain(torch.zeros(2, 4, 3), torch.zeros(3, 3), zero, zero, torch.tensor(lengths))

def answered(ask):
    try:
        ask()
    except (IndexError, RuntimeError, ValueError):
        return False
    return True

wrong = [str(shape) for shape in ((2, 3), (2, 0), (1, 4), (3, 4), (8,), (2, 4, 1))
         if answered(lambda: chain([4, 3]).score(torch.zeros(shape, dtype=torch.int64)))]
wrong += [f"{lengths} {verb}" for lengths in ([5, 3], [-1, 2], [4]) for verb in ("log_partition", "marginals", "best")
          if answered(lambda: getattr(chain(lengths), verb)())]
none = numpy.zeros(3, bool), numpy.ones((3, 3), bool)
patterns = [EdgePattern(~none[0], none[1], none[1], none[1], ~none[0])]
spans = (0, 0, 9, 0), (5, 0, 1, 0), (0, 2, 1, 0), (0, 1, 1, 0), (0, -2, 1, 0), (0, 0, 1, 3), (1, 0, 4, 0)
wrong += [str(span) for span in spans
          if answered(lambda: chain([4, 3]).span_probabilities([span], patterns))]
assert not wrong, wrong
"""


@needs_numba
def test_what_does_not_fit_is_an_error_and_never_a_read_beyond_the_end(root: Path) -> None:
    """Compiled code does not look where it reads; in a separate process, which may crash."""
    done = subprocess.run([sys.executable, "-c", OUT_OF_SHAPE], capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr[-300:] or f"ended by signal {-done.returncode}"


# -- spans ------------------------------------------------------------------------------------------------------------


def patterns_of(scheme: str, labels: Sequence[str]) -> list[EdgePattern]:
    found = scheme_of(scheme)
    edges = [found.edges(labels, kind) for kind in found.types(labels)]
    return [EdgePattern(e.start, e.opens, e.continues, e.closes, e.end) for e in edges]


def true_span_probabilities(
    row: Chain, scheme: str, labels: Sequence[str], spans: Sequence[tuple[int, int, str]]
) -> list[float]:
    """Total probability of the sequences whose reading holds the span."""
    read = scheme_of(scheme).decode
    mass = dict.fromkeys(spans, 0.0)
    for path, probability in oracles.probabilities(row):
        for span in read([labels[tag] for tag in path]):
            mass[span.start, span.end, span.label] = mass.get((span.start, span.end, span.label), 0.0) + probability
    return [mass[span] for span in spans]


INVENTORIES = {
    "BIO": ("O", "B-x", "I-x", "B-y"),
    "BIOES": ("O", "B-x", "E-x", "S-x"),
    "BIOES-inside": ("B-x", "I-x", "E-x", "S-x"),
    "IO": ("O", "I-x", "I-y"),
    "IOB1": ("O", "B-x", "I-x", "I-y"),
    "IOE": ("O", "I-x", "E-x", "E-y"),
    "IOE1": ("I-y", "I-x", "E-x", "O"),
    "BMES": ("B", "M", "E", "S"),
}


@pytest.mark.parametrize("legal", [False, True], ids=["any sequence", "legal sequences"])
@pytest.mark.parametrize("name", INVENTORIES)
def test_span_probabilities(name: str, legal: bool, way: Way) -> None:
    scheme, labels = name.partition("-")[0], INVENTORIES[name]
    rng = np.random.default_rng(len(name))
    tags = len(labels)
    tables = [single(rng.normal(size=shape)) for shape in ((tags, tags), (tags,), (tags,))]
    if legal:
        allowed = scheme_of(scheme).legal(labels)
        masks = (allowed.transitions, allowed.start, allowed.end)
        tables = [np.where(mask, part, -INF) for part, mask in zip(tables, masks, strict=True)]
    batch = Batch(single(rng.normal(scale=2, size=(4, 4, tags))), *tables, np.array([4, 0, 1, 3]))
    types = scheme_of(scheme).types(labels)
    queries, expected = [], []
    for b, row in enumerate(batch.rows()):
        length = len(row.scores)
        spans = [(i, j, kind) for i in range(length) for j in range(i + 1, length + 1) for kind in types]
        queries += [(b, i, j, types.index(kind)) for i, j, kind in spans]
        expected += true_span_probabilities(row, scheme, labels, spans)
    chain = way.chain(batch)
    found = chain.span_probabilities(queries, patterns_of(scheme, labels))
    assert found.dtype == torch.float64 and found.shape == (len(queries),)
    np.testing.assert_allclose(found, expected, atol=way.tolerance)
    shuffled = rng.permutation(len(queries))
    again = chain.span_probabilities([queries[s] for s in shuffled], patterns_of(scheme, labels))
    np.testing.assert_allclose(again, found[shuffled], atol=1e-12)


def test_no_spans_give_no_probabilities(way: Way) -> None:
    patterns = patterns_of("BIO", INVENTORIES["BIO"])
    assert way.chain(random_batch(4, 4, 0.0)).span_probabilities([], patterns).shape == (0,)


@pytest.mark.parametrize("gap", [0.0, 55.0, 200.0])
def test_span_probabilities_where_the_scaled_recursion_fails(gap: float, way: Way) -> None:
    labels = ("O", "B-x", "I-x")
    allowed = scheme_of("BIO").legal(labels)
    tables = [np.where(mask, 0.0, -INF) for mask in (allowed.transitions, allowed.start, allowed.end)]
    tables[0][0, 1] = tables[1][1] = -INF  # no B-x anywhere but after I-x: I-x is out of reach, and its scores are high
    scores = np.array([[[0.0, -1.0, gap], [0.0, -1.0, gap], [-gap, 0.0, gap], [0.0, -2.0, 0.0]]] * 2)
    tables[0][0, 1] = -5.0
    batch = Batch(scores, *tables, np.array([4, 3]))
    spans = [(i, j, "x") for i in range(4) for j in range(i + 1, 5)]
    found = way.chain(batch).span_probabilities([(0, i, j, 0) for i, j, _ in spans], patterns_of("BIO", labels))
    np.testing.assert_allclose(found, true_span_probabilities(batch.rows()[0], "BIO", labels, spans), atol=1e-4)


@needs_numba
@pytest.mark.parametrize("garbage", [0.0, 1e38, math.nan])
def test_unwritten_memory_is_never_read(garbage: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.empty` hands out what lay there before; rows that underflow, and padding, leave some of it unwritten."""
    names = ["the only legal tag is 200 nats below", "the illegal tag gains 55 nats a step", "no path at all"]
    batches = [with_company(ADVERSARIAL[name]) for name in names] + [random_batch(2, 5, 0.0)]
    spans = [(1, 0, 1, 0), (1, 1, 2, 0), (0, 0, 1, 0)]

    def ask(batch: Batch) -> list[Tensor]:
        chain = WAYS[0].chain(batch, differentiable=True)
        target = torch.zeros(batch.scores.shape[:2], dtype=torch.int64)
        possible = bool(chain.log_partition()[1] > -INF)
        found = chain.span_probabilities(spans if possible else spans[2:], patterns_of("BIO", ("O", "B-x")))
        return [*answers(chain, target), found]

    expected = [ask(batch) for batch in batches]

    def dirty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.full(shape, garbage if dtype.is_floating_point else 1, dtype=dtype)

    empty_like = torch.empty_like
    monkeypatch.setattr(torch, "empty", lambda *shape, **options: dirty(*_flat(shape), **options))
    monkeypatch.setattr(torch, "empty_like", lambda other: empty_like(other).fill_(garbage))
    for batch, clean in zip(batches, expected, strict=True):
        for one, other in zip(ask(batch), clean, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def _flat(shape: Sequence[int | torch.Size]) -> tuple[int, ...]:
    return tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape  # type: ignore[return-value]


def test_spans_of_a_long_row_share_their_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the definition too: a document in one row has thousands of spans; none of them reads the whole of it anew."""
    without_kernels(monkeypatch)
    steps, count = 120, 60
    rng = np.random.default_rng(3)
    shapes = ((steps, 3), (3, 3), (3,), (3,))
    batch = batch_of(Chain(*(single(rng.normal(size=shape)) for shape in shapes)))
    spans = [(0, 2 * place, 2 * place + 2, 0) for place in range(count)]
    sums = 0

    def counted(self: LogSemiring, values: Tensor, dim: int, add: Callable[..., Tensor] = LogSemiring.sum) -> Tensor:
        nonlocal sums
        sums += 1
        return add(self, values, dim)

    monkeypatch.setattr(LogSemiring, "sum", counted)
    found = WAYS[3].chain(batch).span_probabilities(spans, patterns_of("BIO", ("O", "B-x", "I-x")))
    assert sums <= 4 * steps + 8 * count
    assert found.shape == (count,) and (found > 0).all() and (found < 1).all()


def test_a_span_of_two_thousand_tokens_has_a_probability(way: Way) -> None:
    labels = ("O", "B-x", "I-x")
    row = Chain(np.tile([0.0, -3.0, 9.0], (2000, 1)), np.zeros((3, 3)), np.zeros(3), np.zeros(3))
    patterns = patterns_of("BIO", labels)
    (found,) = way.chain(batch_of(row)).span_probabilities([(0, 0, 2000, 0)], patterns).tolist()
    # the first tag may be any but O; every other is I-x: probability of I-x there is 1 / (1 + e^-9 + e^-12)
    inside = 1 / (1 + math.exp(-9) + math.exp(-12))
    expected = inside**1999 * (1 + math.exp(-12)) / (1 + math.exp(-9) + math.exp(-12))
    assert found == pytest.approx(expected, rel=1e-3)
