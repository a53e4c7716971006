"""Every verb of LinearChain against enumeration, for every shape of transitions, compiled, vectorised and derived."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
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
from structseq.structures import chain as chain_module
from structseq.structures import forward_backward
from structseq.structures.chain import LinearChain

INF = math.inf
LENGTHS = (5, 4, 3, 2, 1, 0)
SHAPES = ("(K,K)", "(B,K,K)", "(B,T-1,K,K)", "(1,T-1,K,K)")
FORBIDDING = ("nothing", "weights", "tags", "both")
K_BEST = 7


class Case(NamedTuple):
    """A batch in float64, all of it float32's own numbers; transitions and edges shaped as a caller may give them."""

    scores: np.ndarray
    transitions: np.ndarray
    start: np.ndarray
    end: np.ndarray
    lengths: np.ndarray
    allowed: np.ndarray | None = None

    def rows(self) -> list[Chain]:
        """Each row on its own, what is not allowed at -inf."""
        return [self._row(b, int(length)) for b, length in enumerate(self.lengths)]

    def _row(self, b: int, length: int) -> Chain:
        transitions = self.transitions
        if transitions.ndim > 2:
            transitions = transitions[b if len(transitions) > 1 else 0]
        if transitions.ndim > 2:
            transitions = transitions[: max(length - 1, 0)]
        start, end = (edge[b] if edge.ndim > 1 else edge for edge in (self.start, self.end))
        row = Chain(self.scores[b, :length], transitions, start, end)
        return row if self.allowed is None else oracles.within(row, self.allowed[b, :length])

    def added_up(self, counts: Sequence[oracles.Gradients | Chain], share: np.ndarray) -> list[np.ndarray]:
        """The rows' counts, weighted by ``share`` (B,), in the shapes in which the caller gave the weights."""
        found = [np.zeros(part.shape) for part in self[:4]]
        for b, (length, count) in enumerate(zip(self.lengths, counts, strict=True)):
            found[0][b, :length] += share[b] * count.scores
            for part, own in zip(found[2:], count[2:], strict=True):
                part[b if part.ndim > 1 else ...] += share[b] * own
            transitions = found[1] if found[1].ndim == 2 else found[1][b if len(found[1]) > 1 else 0]
            transitions[: len(count.transitions)] += share[b] * count.transitions
        return found


class Truth(NamedTuple):
    """What enumeration says of one row."""

    log_partition: float
    counts: oracles.Gradients
    edges: np.ndarray
    ranked: list[tuple[oracles.Path, float]]
    entropy: float
    risk: float


def truth_of(row: Chain) -> Truth:
    return Truth(
        oracles.log_partition(row), oracles.gradients(row), oracles.edge_marginals(row), oracles.ranked(row, K_BEST),
        oracles.entropy(row), oracles.minimum_risk(row),
    )  # fmt: skip


def single(numbers: np.ndarray) -> np.ndarray:
    """Rounded to float32, kept in float64."""
    return np.asarray(numbers, np.float32).astype(np.float64)


def random_case(
    tags: int, shape: str, forbidding: str, *, lengths: Sequence[int] = LENGTHS, variant: int = 0, steps: int = 0
) -> Case:
    """Ragged rows with NaN for padding; ``forbidding``: where scores are -inf and whether some tags are not allowed."""
    rows, steps = len(lengths), steps or max(lengths, default=0)
    rng = np.random.default_rng([tags, SHAPES.index(shape), FORBIDDING.index(forbidding), variant])
    forbid = 0.25 if forbidding in ("weights", "both") else 0.0

    def table(*sizes: int) -> np.ndarray:
        numbers = single(rng.normal(scale=2.0, size=sizes))
        return np.where(rng.random(sizes) < forbid, -INF, numbers)

    between = max(steps - 1, 0)
    transitions = {"(K,K)": (), "(B,K,K)": (rows,), "(B,T-1,K,K)": (rows, between), "(1,T-1,K,K)": (1, between)}[shape]
    edges = () if shape == "(K,K)" else (rows,)
    scores = single(rng.normal(scale=2.0, size=(rows, steps, tags)))
    scores[np.arange(steps) >= np.array(lengths).reshape(-1, 1)] = math.nan
    allowed = rng.random(scores.shape) < 0.8 if forbidding in ("tags", "both") else None
    return Case(
        scores,
        table(*transitions, tags, tags),
        table(*edges, tags),
        table(*edges, tags),
        np.array(lengths, int),
        allowed,
    )


def possible_case(tags: int, shape: str, forbidding: str, lengths: Sequence[int]) -> Case:
    """The first of the random cases in which every row has a possible answer."""
    drawn = (random_case(tags, shape, forbidding, lengths=lengths, variant=variant) for variant in range(100))
    return next(case for case in drawn if all(oracles.log_partition(row) > -INF for row in case.rows()))


@cache
def cases(tags: int, shape: str) -> list[tuple[Case, list[Truth]]]:
    chosen = FORBIDDING if tags < 4 else ("nothing", "both")
    found = [random_case(tags, shape, forbidding) for forbidding in chosen]
    return [(case, [truth_of(row) for row in case.rows()]) for case in found]


every_count = pytest.mark.parametrize("tags", (1, 2, 4))
every_shape = pytest.mark.parametrize("shape", SHAPES)


class Way(NamedTuple):
    """One of the ways in which a chain can be computed."""

    name: str
    dtype: torch.dtype
    tolerance: float

    def tensors(self, case: Case, *, differentiable: bool = False) -> list[Tensor]:
        return [torch.tensor(part, dtype=self.dtype, requires_grad=differentiable) for part in case[:4]]

    def over(self, parts: Sequence[Tensor], case: Case) -> LinearChain:
        kind = Definition if self.name == "definition" else LinearChain
        allowed = None if case.allowed is None else torch.tensor(case.allowed)
        scores, transitions, start, end = parts
        chain = kind(scores, transitions, start, end, torch.tensor(case.lengths), allowed=allowed)
        assert chain.uses_kernels == (self.name.startswith("compiled") and case.scores.size > 0)
        return chain

    def chain(self, case: Case) -> LinearChain:
        return self.over(self.tensors(case), case)

    def close(self, found: Tensor, expected: object, size: float = 1.0) -> None:
        """Equal to 1e-9 in float64; in float32 to 1e-5 of the size of what was added up."""
        limit = self.tolerance if self.dtype == torch.float64 else self.tolerance * max(size, 1.0)
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=self.tolerance, atol=limit)


COMPILED, COMPILED_DOUBLE = Way("compiled", torch.float32, 1e-5), Way("compiled double", torch.float64, 1e-9)
VECTORISED, VECTORISED_DOUBLE = Way("vectorised", torch.float32, 1e-5), Way("vectorised double", torch.float64, 1e-9)
DEFINITION = Way("definition", torch.float64, 1e-9)
# Where Numba has no wheel there is nothing compiled to test; test_packaging holds that this is the only reason.
COMPILED_WAYS = (COMPILED, COMPILED_DOUBLE) if compiling.numba_available() else ()
WAYS = (*COMPILED_WAYS, VECTORISED, VECTORISED_DOUBLE, DEFINITION)


def prepared(way: Way, monkeypatch: pytest.MonkeyPatch) -> Way:
    """The way, its kernels switched off where it has none."""
    if way.name.startswith("vectorised"):
        monkeypatch.setattr(forward_backward, "can_use_kernels", lambda scores: False)
        monkeypatch.setattr(chain_module, "can_use_kernels", lambda scores: False)
    return way


@pytest.fixture(params=WAYS, ids=lambda way: way.name)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Way:
    return prepared(request.param, monkeypatch)


@pytest.fixture(params=[*COMPILED_WAYS[1:], VECTORISED_DOUBLE], ids=lambda way: way.name)
def exact_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Way:
    return prepared(request.param, monkeypatch)


def size_of(case: Case) -> float:
    """About how much a path adds up."""
    finite = [np.abs(part[np.isfinite(part)]).max(initial=0.0) for part in case[:4]]
    return 2 * float(sum(finite)) * max(case.scores.shape[1], 1)


# -- each verb --------------------------------------------------------------------------------------------------------


def check_log_partition(way: Way, case: Case, truths: list[Truth]) -> None:
    found = way.chain(case).log_partition()
    assert found.dtype == way.dtype
    way.close(found, [truth.log_partition for truth in truths], size_of(case))


def check_marginals(way: Way, case: Case, truths: list[Truth]) -> None:
    found = way.chain(case).marginals()
    assert found.shape == case.scores.shape and found.dtype == way.dtype
    for row, length, truth in zip(found, case.lengths, truths, strict=True):
        way.close(row[:length], truth.counts.scores)
        assert not row[length:].any()
        assert not row[:length].numpy()[truth.counts.scores == 0].any(), "what is forbidden has probability exactly 0"


def check_edge_marginals(way: Way, case: Case, truths: list[Truth]) -> None:
    rows, steps, tags = case.scores.shape
    found = way.chain(case).edge_marginals()
    assert found.shape == (rows, max(steps - 1, 0), tags, tags) and found.dtype == way.dtype
    for row, length, truth in zip(found, case.lengths, truths, strict=True):
        inside = max(int(length) - 1, 0)
        way.close(row[:inside], truth.edges)
        assert not row[inside:].any()
        assert not row[:inside].numpy()[truth.edges == 0].any(), "what is forbidden has probability exactly 0"


def check_best(way: Way, case: Case, truths: list[Truth]) -> None:
    path, score = way.chain(case).best()
    assert path.dtype == torch.int64 and path.shape == case.scores.shape[:2]
    way.close(score, [truth.ranked[0][1] if truth.ranked else -INF for truth in truths], size_of(case))
    for b, (row, truth) in enumerate(zip(case.rows(), truths, strict=True)):
        length = len(row.scores)
        assert not path[b, length:].any()
        if truth.ranked:
            found = oracles.path_score(row, tuple(path[b, :length].tolist()))
            assert found == pytest.approx(truth.ranked[0][1], rel=1e-9, abs=1e-5 * size_of(case))


def check_ranked(way: Way, case: Case, truths: list[Truth]) -> None:
    path, score = way.chain(case).ranked(K_BEST)
    assert path.dtype == torch.int64 and path.shape == (len(case.scores), K_BEST, case.scores.shape[1])
    for b, (row, truth) in enumerate(zip(case.rows(), truths, strict=True)):
        length, count = len(row.scores), len(truth.ranked)
        missing = [-INF] * (K_BEST - count)
        way.close(score[b], [best for _, best in truth.ranked] + missing, size_of(case))
        assert not path[b, :, length:].any() and not path[b, count:].any()
        answers = [tuple(answer.tolist()) for answer in path[b, :count, :length]]
        assert len(set(answers)) == count
        for answer, (_, best) in zip(answers, truth.ranked, strict=True):
            assert oracles.path_score(row, answer) == pytest.approx(best, rel=1e-9, abs=1e-5 * size_of(case))


def check_entropy(way: Way, case: Case, truths: list[Truth]) -> None:
    way.close(way.chain(case).entropy(), [truth.entropy for truth in truths])


def check_minimum_risk(way: Way, case: Case, truths: list[Truth]) -> None:
    path, right = way.chain(case).minimum_risk()
    way.close(right, [truth.risk for truth in truths], case.scores.shape[1])
    for b, (row, truth) in enumerate(zip(case.rows(), truths, strict=True)):
        answer = tuple(path[b, : len(row.scores)].tolist())
        assert not path[b, len(row.scores) :].any()
        if truth.ranked:
            assert oracles.path_score(row, answer) > -INF
            on_average = truth.counts.scores[range(len(answer)), answer].sum()
            assert on_average == pytest.approx(truth.risk, abs=1e-5)


def check_gradients_of_log_z(way: Way, case: Case, truths: list[Truth]) -> None:
    share = np.linspace(-2.0, 3.0, len(truths))
    leaves = way.tensors(case, differentiable=True)
    log_z = way.over(leaves, case).log_partition()
    found = torch.autograd.grad(log_z, leaves, torch.tensor(share, dtype=way.dtype), materialize_grads=True)
    expected = case.added_up([truth.counts for truth in truths], share)
    for gradient, counts, values in zip(found, expected, case[:4], strict=True):
        way.close(gradient, counts, 5 * len(truths))
        assert not gradient.numpy()[np.isneginf(values)].any(), "what is forbidden has gradient exactly 0"
    if case.allowed is not None:
        assert not found[0].numpy()[~case.allowed].any(), "what is not allowed has gradient exactly 0"
    assert not found[0].numpy()[np.isnan(case.scores)].any(), "padding has gradient exactly 0"


def check_gradients_of_log_prob(way: Way, case: Case, truths: list[Truth]) -> None:
    possible = np.array([float(bool(truth.ranked)) for truth in truths])
    shares = [possible * np.arange(1, len(truths) + 1)]  # rows that count differently, then all alike
    if possible.all():
        shares += [possible, -0.25 * possible]
    target, counts = gold_of(case, truths)
    leaves = way.tensors(case, differentiable=True)
    for share in shares:
        log_prob = way.over(leaves, case).log_prob(target)
        upstream = torch.tensor(share, dtype=way.dtype)
        found = torch.autograd.grad(log_prob, leaves, upstream, materialize_grads=True)
        gold = case.added_up(counts, share)
        expected = case.added_up([truth.counts for truth in truths], share)
        for gradient, used, counted, values in zip(found, gold, expected, case[:4], strict=True):
            way.close(gradient, used - counted, 5 * np.abs(share).sum())
            assert not gradient.numpy()[np.isneginf(values)].any(), "what is forbidden has gradient exactly 0"


def gold_of(case: Case, truths: list[Truth]) -> tuple[Tensor, list[Chain]]:
    """A possible answer of each row that has one, -100 in the padding, and how often it uses each weight."""
    target = torch.full(case.scores.shape[:2], -100)
    counts = []
    for b, (row, truth) in enumerate(zip(case.rows(), truths, strict=True)):
        used = Chain(*(np.zeros(part.shape) for part in row))
        path = truth.ranked[len(truth.ranked) // 2][0] if truth.ranked else (0,) * len(row.scores)
        target[b, : len(path)] = torch.tensor(path, dtype=torch.int64)
        for t, tag in enumerate(path):
            used.scores[t, tag] += 1
            if t > 0:
                oracles.transitions_at(used, t - 1)[path[t - 1], tag] += 1
        if path:
            used.start[path[0]] += 1
            used.end[path[-1]] += 1
        counts.append(used)
    return target, counts


CHECKS = (
    check_log_partition, check_marginals, check_edge_marginals, check_best, check_ranked, check_entropy,
    check_minimum_risk, check_gradients_of_log_z, check_gradients_of_log_prob,
)  # fmt: skip
every_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
Check = Callable[[Way, Case, list[Truth]], None]


@every_check
@every_count
def test_against_enumeration(tags: int, check: Check, way: Way) -> None:
    for case, truths in itertools.chain.from_iterable(cases(tags, shape) for shape in SHAPES):
        check(way, case, truths)


@every_check
def test_few_steps_and_none(check: Check, way: Way) -> None:
    for shape, steps in itertools.product(SHAPES, (0, 1, 2)):
        case = random_case(3, shape, "nothing", lengths=[steps] * 3)
        check(way, case, [truth_of(row) for row in case.rows()])
    for shape in SHAPES:
        check(way, random_case(2, shape, "nothing", lengths=[]), [])


@every_count
def test_log_prob_of_any_path(tags: int, way: Way) -> None:
    rng = np.random.default_rng(tags)
    for case, truths in itertools.chain.from_iterable(cases(tags, shape) for shape in SHAPES):
        target = torch.full(case.scores.shape[:2], -100)
        paths = [tuple(rng.integers(0, tags, length).tolist()) for length in case.lengths]
        for b, path in enumerate(paths):
            target[b, : len(path)] = torch.tensor(path, dtype=torch.int64)
        chain = way.chain(case)
        scores = [oracles.path_score(row, path) for row, path in zip(case.rows(), paths, strict=True)]
        possible = [truth.log_partition if truth.ranked else 0.0 for truth in truths]
        way.close(chain.score(target), scores, size_of(case))
        way.close(chain.log_prob(target), np.array(scores) - possible, size_of(case))


@every_shape
@pytest.mark.parametrize("forbidding", [("nothing", "nothing"), ("both", "nothing"), ("weights", "tags")], ids=str)
def test_divergence(shape: str, forbidding: tuple[str, str], way: Way) -> None:
    for tags in (1, 2, 3):
        one, other = (random_case(tags, shape, kind, variant=v) for v, kind in enumerate(forbidding))
        mine, theirs = one.rows(), other.rows()
        found = way.chain(one).kl(way.chain(other))
        possible = np.array([oracles.log_partition(row) > -INF for row in mine])
        expected = np.array([oracles.kl(p, q) for p, q in zip(mine, theirs, strict=True)])
        way.close(found[torch.tensor(possible)], expected[possible])


@pytest.mark.parametrize(("mine", "theirs"), list(itertools.permutations(SHAPES, 2)), ids=str)
def test_divergence_between_chains_whose_tables_differ_in_shape(mine: str, theirs: str, way: Way) -> None:
    one, other = (random_case(2, shape, "nothing", variant=v) for v, shape in enumerate((mine, theirs)))
    expected = [oracles.kl(p, q) for p, q in zip(one.rows(), other.rows(), strict=True)]
    way.close(way.chain(one).kl(way.chain(other)), expected)


@every_shape
def test_samples_are_possible_and_as_frequent_as_probable(shape: str, way: Way) -> None:
    case = possible_case(2, shape, "both", (3, 2, 0))
    count = 400 if way.name == "definition" else 2000
    paths = way.chain(case).sample(count, torch.Generator().manual_seed(7))
    assert paths.shape == (count, 3, 3) and paths.dtype == torch.int64
    for b, row in enumerate(case.rows()):
        length = len(row.scores)
        assert not paths[:, b, length:].any()
        drawn = [tuple(path.tolist()) for path in paths[:, b, :length]]
        if oracles.log_partition(row) == -INF:  # nothing to draw from: all zeros
            assert set(drawn) == {(0,) * length}
            continue
        for path, probability in oracles.probabilities(row):
            # five standard deviations
            off = 5 * math.sqrt(probability * (1 - probability) / count)
            assert drawn.count(path) / count == pytest.approx(probability, abs=off + 1e-12)


# -- scores that break a careless recursion ---------------------------------------------------------------------------


def two_tracks(case: Case, gap: float = 200.0) -> Case:
    """Tags that can never follow each other, one of them not at the start: it leads by ``gap`` nats a step for
    nothing."""
    transitions = np.where(np.eye(2, dtype=bool), case.transitions, -INF)
    scores = case.scores + np.array([0.0, gap]) * (np.arange(5) % 4 > 0)[:, None]
    return case._replace(scores=scores, transitions=transitions, start=np.where([True, False], case.start, -INF))


def left_behind(case: Case) -> Case:
    """Every path loses hundreds of nats to an impossible one: float64 can hold what one step loses, not what two do."""
    lead = np.array([0.0, 215.0, 600.0, 215.0, 600.0])[:, None] * [0.0, 1.0]
    transitions = np.where([[True, False], [False, False]], case.transitions, -INF)
    return case._replace(scores=case.scores + lead, transitions=transitions)


def overtaken(case: Case, by: float) -> Case:
    """Tags that can never follow each other: the share of one rounds to nothing, then it gains little by little."""
    lead = by * np.array([0.0, 1.0]) * np.array([-1.0, 0.4, 0.4, 0.4, 0.4])[:, None]
    return case._replace(scores=case.scores + lead, transitions=np.where(np.eye(2, dtype=bool), case.transitions, -INF))


def unreached(case: Case) -> Case:
    """Moves out of a tag that nothing leads to are worth thousands."""
    transitions = case.transitions.copy()
    transitions[..., :, 1], transitions[..., 1, :] = -INF, 1e4
    return case._replace(transitions=transitions, start=np.where([True, False], case.start, -INF))


ADVERSARIAL: dict[str, Callable[[Case], Case]] = {
    "an offset of 10,000 nats": lambda case: case._replace(scores=single(case.scores + 1e4)),
    "an offset of -10,000 nats": lambda case: case._replace(scores=single(case.scores - 1e4)),
    "transitions 10,000 nats up": lambda case: case._replace(transitions=single(case.transitions + 1e4)),
    "edges 10,000 nats down": lambda case: case._replace(start=single(case.start - 1e4), end=single(case.end - 1e4)),
    "gaps of 200 nats": lambda case: case._replace(scores=case.scores + np.array([0.0, -200.0])),
    "gaps of 200 nats between transitions": lambda case: case._replace(
        transitions=case.transitions + np.array([[0.0, -200.0], [-200.0, 0.0]])
    ),
    "gaps of 200 nats at the edges": lambda case: case._replace(
        start=case.start + np.array([0.0, -200.0]), end=case.end + np.array([-200.0, 0.0])
    ),
    "gaps of 200 nats under hard constraints": two_tracks,
    "gaps of 100 nats under hard constraints": lambda case: two_tracks(case, 100.0),  # float32's numbers without digits
    "gaps of 215 and 600 nats under hard constraints": left_behind,
    "200 nats behind, then 120 ahead": lambda case: overtaken(case, 200.0),
    "800 nats behind, then 480 ahead": lambda case: overtaken(case, 800.0),
    "transitions of 10,000 nats out of reach": unreached,
    "no tag at one step": lambda case: case._replace(scores=np.where((np.arange(5) == 2)[:, None], -INF, case.scores)),
    "one tag at each step": lambda case: case._replace(
        scores=np.where(np.eye(2, dtype=bool)[np.arange(5) % 2], case.scores, -INF)
    ),
    "no move": lambda case: case._replace(transitions=np.full_like(case.transitions, -INF)),
    "no end": lambda case: case._replace(end=np.full_like(case.end, -INF)),
    "all zero": lambda case: case._replace(
        scores=case.scores * 0, transitions=case.transitions * 0, start=case.start * 0, end=case.end * 0
    ),
}


@cache
def adversarial_case(name: str, shape: str) -> tuple[Case, list[Truth]]:
    case = ADVERSARIAL[name](random_case(2, shape, "nothing", variant=1))
    return case, [truth_of(row) for row in case.rows()]


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial(name: str, way: Way) -> None:
    for check, shape in itertools.product(CHECKS, ("(K,K)", "(B,T-1,K,K)")):
        check(way, *adversarial_case(name, shape))


@cache
def long_row() -> tuple[Case, np.ndarray]:
    rng = np.random.default_rng(10_000)
    tables = [single(rng.normal(scale=1.5, size=shape)) for shape in ((1, 10_000, 5), (5, 5), (5,), (5,))]
    case = Case(*tables, np.array([10_000]))
    return case, oracles.long_marginals(case.rows()[0])


@pytest.mark.parametrize("way", WAYS[:-1], indirect=True, ids=lambda way: way.name)
def test_marginals_of_ten_thousand_steps(way: Way) -> None:
    case, expected = long_row()
    with torch.inference_mode():
        limit = 1e-4 if way.dtype == torch.float32 else 1e-9
        np.testing.assert_allclose(way.chain(case).marginals()[0], expected, rtol=0, atol=limit)


# -- ties -------------------------------------------------------------------------------------------------------------


@given(data=st.data())
@settings(max_examples=60)
@pytest.mark.parametrize("way", (*COMPILED_WAYS, DEFINITION), ids=lambda way: way.name)
def test_equals_are_ranked_by_the_lowest_tag_from_the_end(way: Way, data: st.DataObject) -> None:
    tags, steps, k = (data.draw(st.integers(*bounds)) for bounds in ((1, 3), (1, 4), (1, 9)))
    small = st.integers(-1, 1).map(float) | st.just(-INF)

    def table(*shape: int) -> np.ndarray:
        count = math.prod(shape)
        return np.array(data.draw(st.lists(small, min_size=count, max_size=count))).reshape(shape)

    transitions = (tags, tags) if data.draw(st.booleans()) else (1, steps - 1, tags, tags)
    case = Case(table(1, steps, tags), table(*transitions), table(tags), table(tags), np.array([steps]))
    path, score = way.chain(case).ranked(k)
    expected = oracles.ranked(case.rows()[0], k)
    assert score[0].tolist() == [best for _, best in expected] + [-INF] * (k - len(expected))
    assert [tuple(answer) for answer in path[0, : len(expected)].tolist()] == [answer for answer, _ in expected]


def test_equals_of_minimum_risk_go_to_the_lowest_tag(way: Way) -> None:
    case = Case(np.zeros((2, 3, 2)), np.zeros((2, 2)), np.zeros(2), np.zeros(2), np.array([3, 2]))
    assert not way.chain(case).minimum_risk().path.any() and not way.chain(case).best().path.any()


# -- derivatives of derivatives ---------------------------------------------------------------------------------------


def small_case(shape: str) -> Case:
    case = random_case(2, shape, "nothing", lengths=(3, 1, 0, 2), variant=2)
    allowed = np.ones(case.scores.shape, bool)
    allowed[0, 1, 0] = allowed[3, 0, 1] = False
    return case._replace(scores=np.nan_to_num(case.scores), allowed=allowed)


TARGET = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]])
DIFFERENTIABLE: dict[str, Callable[[LinearChain], Tensor]] = {
    "log_partition": lambda chain: chain.log_partition(),
    "log_prob": lambda chain: chain.log_prob(TARGET),
    "score": lambda chain: chain.score(TARGET),
    "entropy": lambda chain: chain.entropy()[[0, 1, 3]],
}


@every_shape
@pytest.mark.parametrize("verb", DIFFERENTIABLE)
def test_gradients_and_their_gradients(verb: str, shape: str, exact_way: Way) -> None:
    case = small_case(shape)
    leaves = exact_way.tensors(case, differentiable=True)

    def ask(*parts: Tensor) -> Tensor:
        return DIFFERENTIABLE[verb](exact_way.over(parts, case))

    assert torch.autograd.gradcheck(ask, leaves)
    if verb != "score":  # a score is linear
        assert torch.autograd.gradgradcheck(ask, leaves, fast_mode=True)


@every_shape
def test_divergence_can_be_differentiated_by_both_its_chains(shape: str, exact_way: Way) -> None:
    case = small_case(shape)
    mine, theirs = (exact_way.tensors(part, differentiable=True) for part in (case, shifted(case)))

    def ask(*parts: Tensor) -> Tensor:
        return exact_way.over(parts[:4], case).kl(exact_way.over(parts[4:], case))[[0, 3]]

    assert torch.autograd.gradcheck(ask, (*mine, *theirs), fast_mode=True)


def shifted(case: Case) -> Case:
    """Another chain of the same shapes."""
    return case._replace(scores=np.cos(case.scores), transitions=np.sin(case.transitions))


@every_shape
def test_a_gradient_computed_twice_is_the_same(shape: str, way: Way) -> None:
    case = small_case(shape)
    leaves = way.tensors(case, differentiable=True)
    for verb, ask in DIFFERENTIABLE.items():
        total = ask(way.over(leaves, case)).sum()
        first = torch.autograd.grad(total, leaves, retain_graph=True, materialize_grads=True)
        kept = [gradient.clone() for gradient in first]
        for gradient in first:
            gradient.fill_(math.nan)  # whoever has a gradient may write into it
        again = torch.autograd.grad(total, leaves, materialize_grads=True)
        for one, other in zip(again, kept, strict=True):
            torch.testing.assert_close(one, other, msg=lambda text, verb=verb: f"{verb}: {text}")


# -- again, and at once -----------------------------------------------------------------------------------------------


def everything(way: Way, case: Case, target: Tensor) -> list[Tensor]:
    """All that a chain can say, and the gradients of log p."""
    leaves = way.tensors(case, differentiable=True)
    chain = way.over(leaves, case)
    log_prob = chain.log_prob(target)
    gradients = torch.autograd.grad(log_prob.sum(), leaves, materialize_grads=True)
    verbs = [chain.log_partition(), chain.marginals(), chain.edge_marginals(), *chain.best(), *chain.ranked(3)]
    more = [chain.entropy(), *chain.minimum_risk(), chain.sample(3, torch.Generator().manual_seed(1))]
    return [part.detach() for part in (log_prob, *gradients, *verbs, *more)]


def same_bits(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.numpy().tobytes() == other.numpy().tobytes()


@every_shape
def test_the_same_bits_from_run_to_run(shape: str, way: Way) -> None:
    for case, truths in cases(3, shape)[:1]:
        target, _ = gold_of(case, truths)
        same_bits(everything(way, case, target), everything(way, case, target))


def test_eight_threads_give_what_one_gives(exact_way: Way) -> None:
    work_items = [(case, gold_of(case, truths)[0]) for shape in SHAPES for case, truths in cases(3, shape)[:1]]
    work_items.append(
        (adversarial_case("gaps of 200 nats under hard constraints", "(K,K)")[0], torch.zeros(6, 5).long())
    )

    def learn(case: Case, target: Tensor) -> list[Tensor]:
        leaves = exact_way.tensors(case, differentiable=True)
        log_prob = exact_way.over(leaves, case).log_prob(target)
        log_prob.sum().backward()
        return [log_prob.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]

    expected = [learn(*work) for work in work_items]
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(learn, *work) for _ in range(8) for work in work_items]
        for number, future in enumerate(futures):
            same_bits(future.result(), expected[number % len(work_items)])
