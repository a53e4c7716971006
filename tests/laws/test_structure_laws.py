"""What every structure must satisfy: derived verbs against enumeration by `score` alone, for every structure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from structseq.structures import objectives
from structseq.structures.base import Distribution, Independent, LogSemiring, MaxSemiring, Ranked, Structure
from structseq.structures.chain import LinearChain

ROWS, STEPS, TAGS, LENGTHS = 4, 4, 3, (4, 1, 0, 3)
INF = math.inf
Path = tuple[int, ...]
Maker = Callable[[Tensor, Tensor], Structure]


def table(seed: int, like: Tensor, *shape: int) -> Tensor:
    """The same random numbers, float32's own, in the type of the scores."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(like.dtype)


def tables(like: Tensor, *transitions: int, edges: tuple[int, ...] = ()) -> tuple[Tensor, Tensor, Tensor]:
    """Transitions (*transitions, K, K), start and end (*edges, K)."""
    tags = like.shape[2]
    shapes = (*transitions, tags, tags), (*edges, tags), (*edges, tags)
    first, second, third = (table(seed, like, *shape) for seed, shape in enumerate(shapes, start=1))
    return first, second, third


def independent(scores: Tensor, lengths: Tensor) -> Structure:
    return Independent(scores, lengths)


def chain(scores: Tensor, lengths: Tensor) -> Structure:
    return LinearChain(scores, *tables(scores), lengths)


def constrained(scores: Tensor, lengths: Tensor) -> Structure:
    transitions, start, end = (torch.zeros_like(part) for part in tables(scores))
    transitions[0, 2] = transitions[2, 2] = start[2] = -INF
    return LinearChain(scores, transitions, start, end, lengths)


def allowed(scores: Tensor, lengths: Tensor) -> Structure:
    mask = table(4, scores, *scores.shape) < 0.8
    return LinearChain(scores, *tables(scores), lengths, allowed=mask)


def table_for_each_row(scores: Tensor, lengths: Tensor) -> Structure:
    return LinearChain(scores, *tables(scores, len(scores)), lengths)


def table_for_each_step(scores: Tensor, lengths: Tensor) -> Structure:
    transitions, start, end = tables(scores, len(scores), max(scores.shape[1] - 1, 0))
    transitions[transitions > 1.2] = -INF
    return LinearChain(scores, transitions, start, end, lengths)


def edges_for_each_row(scores: Tensor, lengths: Tensor) -> Structure:
    return LinearChain(scores, *tables(scores, edges=(len(scores),)), lengths)


# A structure is made a member by its maker; where it is not over tags, `answers` must know what its answers are.
MEMBERS: tuple[Maker, ...] = (
    independent, chain, constrained, allowed, table_for_each_row, table_for_each_step, edges_for_each_row,
)  # fmt: skip


def weights(dtype: torch.dtype, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS, STEPS, TAGS, generator=generator).to(dtype), torch.tensor(LENGTHS)


@pytest.fixture(params=MEMBERS, ids=lambda maker: maker.__name__)
def make(request: pytest.FixtureRequest) -> Maker:
    found: Maker = request.param
    return found


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def structure(request: pytest.FixtureRequest, make: Maker) -> Structure:
    return make(*weights(request.param))


@pytest.fixture
def exact(make: Maker) -> Structure:
    """In float64."""
    return make(*weights(torch.float64))


def answers(length: int) -> Iterator[Path]:
    """Every answer of a row of that length, 0 beyond it."""
    return ((*path, *[0] * (STEPS - length)) for path in itertools.product(range(TAGS), repeat=length))


class Row(NamedTuple):
    """All answers of one row, with what `score` says of them, in float64."""

    paths: list[Path]
    totals: Tensor

    @property
    def shares(self) -> Tensor:
        """Probabilities; zero where nothing is possible."""
        return torch.nan_to_num(self.totals.softmax(0))


def rows_of(structure: Structure) -> list[Row]:
    """The rows written down by `score` alone."""
    scores = {path: structure.score(torch.tensor([path] * ROWS)).detach() for path in answers(STEPS)}
    found = []
    for row, length in enumerate(LENGTHS):
        paths = list(answers(length))
        found.append(Row(paths, torch.stack([scores[path][row] for path in paths]).double()))
    return found


def close(found: Tensor, expected: Tensor | list[float], dtype: torch.dtype | None = None) -> None:
    limit = 1e-9 if (dtype or found.dtype) == torch.float64 else 1e-5
    np.testing.assert_allclose(found.detach().double().numpy(), np.asarray(expected), rtol=limit, atol=limit)


def tag_shares(row: Row, length: int) -> Tensor:
    """(T, K) marginals of the tags."""
    found = torch.zeros(STEPS, TAGS, dtype=torch.float64)
    for path, share in zip(row.paths, row.shares, strict=True):
        for t, tag in enumerate(path[:length]):
            found[t, tag] += share
    return found


# -- against enumeration ----------------------------------------------------------------------------------------------


def test_log_partition_best_and_marginals_follow_from_score(structure: Structure) -> None:
    log_z, best, marginals = structure.log_partition(), structure.best(), structure.marginals()
    assert log_z.dtype == best.score.dtype == marginals.dtype == structure.scores.dtype
    for b, row in enumerate(rows_of(structure)):
        close(log_z[b], row.totals.logsumexp(0))
        close(best.score[b], row.totals.max())
        assert tuple(best.path[b].tolist()) == row.paths[int(row.totals.argmax())]
        close(marginals[b], tag_shares(row, LENGTHS[b]))


def test_probabilities_sum_to_one(structure: Structure) -> None:
    for b, row in enumerate(rows_of(structure)):
        each = [structure.log_prob(torch.tensor([path] * ROWS))[b] for path in row.paths]
        close(torch.stack(each), row.shares.log())
        assert float(torch.stack(each).double().exp().sum()) == pytest.approx(1.0, abs=1e-5)


def test_marginals_of_real_steps_sum_to_one_and_of_padding_to_nothing(structure: Structure) -> None:
    real = torch.arange(STEPS) < torch.tensor(LENGTHS).unsqueeze(1)
    close(structure.marginals().sum(-1), real.double())


def test_what_is_impossible_has_probability_exactly_zero(structure: Structure) -> None:
    marginals = structure.marginals()
    for b, row in enumerate(rows_of(structure)):
        assert not marginals[b][tag_shares(row, LENGTHS[b]) == 0].any()


def test_log_prob_is_never_positive_and_zero_for_an_empty_row(structure: Structure) -> None:
    for path in itertools.product(range(TAGS), repeat=2):
        found = structure.log_prob(torch.tensor([(*path, 0, 0)] * 4))
        assert (found <= 1e-6).all() and found[2] == 0.0


def test_the_gradient_of_log_z_is_the_marginals(make: Maker) -> None:
    scores, lengths = weights(torch.float64)
    leaf = scores.requires_grad_()
    structure = make(leaf, lengths)
    (gradient,) = torch.autograd.grad(structure.log_partition().sum(), leaf)
    close(gradient, structure.marginals())


@pytest.mark.parametrize("k", [1, 2, 7, TAGS**STEPS + 5])
def test_ranked_holds_the_best_answers_in_order(k: int, structure: Structure) -> None:
    ranked = structure.ranked(k)
    assert ranked.path.shape == (ROWS, k, STEPS) and ranked.score.shape == (ROWS, k)
    assert ranked.path.dtype == torch.int64 and ranked.score.dtype == structure.scores.dtype
    for b, row in enumerate(rows_of(structure)):
        order = row.totals.argsort(descending=True, stable=True)
        possible = order[: int(torch.isfinite(row.totals).sum())][:k]
        count = len(possible)
        close(ranked.score[b, :count], row.totals[possible])
        assert [tuple(path) for path in ranked.path[b, :count].tolist()] == [row.paths[i] for i in possible]
        assert (ranked.score[b, count:] == -INF).all() and not ranked.path[b, count:].any()


def test_the_first_of_the_ranked_is_the_best(structure: Structure) -> None:
    ranked, best = structure.ranked(3), structure.best()
    assert torch.equal(ranked.path[:, 0], best.path)
    close(ranked.score[:, 0], best.score)


@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_how_many_must_be_a_whole_number_from_one_on(count: Any, exact: Structure) -> None:
    for ask in (exact.ranked, exact.sample):
        with pytest.raises(ValueError, match="expected a whole number from 1 on"):
            ask(count)


def test_samples_are_as_frequent_as_they_are_probable(exact: Structure) -> None:
    count = 800
    paths = exact.sample(count, torch.Generator().manual_seed(5))
    assert paths.shape == (count, ROWS, STEPS) and paths.dtype == torch.int64
    for b, row in enumerate(rows_of(exact)):
        drawn = [tuple(path) for path in paths[:, b].tolist()]
        assert set(drawn) <= {path for path, share in zip(row.paths, row.shares, strict=True) if share > 0}
        expected = {path: count * float(share) for path, share in zip(row.paths, row.shares, strict=True)}
        often = [path for path in expected if expected[path] >= 5]
        observed = [drawn.count(path) for path in often]
        likely = [expected[path] for path in often]
        if count - sum(likely) > 1:  # the rare ones together
            observed.append(count - sum(observed))
            likely.append(count - sum(likely))
        if len(likely) > 1:
            assert chisquare(observed, np.array(likely) * count / sum(likely)).pvalue > 1e-3
        else:
            assert observed == [count]


def test_samples_come_again_with_the_generator(structure: Structure) -> None:
    first, again, other = (structure.sample(6, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert structure.sample(2).shape == (2, ROWS, STEPS)


def test_entropy(structure: Structure) -> None:
    found = structure.entropy()
    assert found.dtype == structure.scores.dtype
    close(found, torch.stack([torch.special.entr(row.shares).sum() for row in rows_of(structure)]))


@pytest.mark.parametrize("forbid", [False, True])
def test_divergence(forbid: bool, make: Maker) -> None:
    for dtype in (torch.float32, torch.float64):
        one, other = make(*weights(dtype)), make(*weights(dtype, seed=1))
        if forbid:
            other = other.within(torch.arange(ROWS * STEPS * TAGS).view(ROWS, STEPS, TAGS) != 0)
        expected = []
        for mine, theirs in zip(rows_of(one), rows_of(other), strict=True):
            p, q = mine.shares, theirs.shares
            kept = p > 0
            expected.append((p[kept] * (p[kept] / q[kept]).log()).sum())
        found = one.kl(other)
        assert found.dtype == dtype and bool((found >= 0).all())
        close(found, torch.stack(expected))
        assert not forbid or found[0] == INF


def test_divergence_from_itself_is_zero(exact: Structure) -> None:
    close(exact.kl(exact), torch.zeros(ROWS))
    close(exact.kl(exact.with_scores(exact.scores + 3.0)), torch.zeros(ROWS))


def test_divergence_between_what_cannot_be_compared_is_an_error(make: Maker) -> None:
    scores, lengths = weights(torch.float64)
    one = make(scores, lengths)
    others = [
        make(torch.cat([scores, scores[:, :, :1]], 2), lengths),
        make(torch.cat([scores, scores], 1), lengths),
        make(scores[:2], lengths[:2]),
        make(scores, torch.tensor([4, 1, 0, 2])),
        chain(scores, lengths) if isinstance(one, Independent) else independent(scores, lengths),
    ]
    for other in others:
        with pytest.raises(ValueError, match=r"expected a .* and the same lengths, found a"):
            one.kl(other)


def test_minimum_risk(structure: Structure) -> None:
    found = structure.minimum_risk()
    assert found.score.dtype == structure.scores.dtype
    for b, row in enumerate(rows_of(structure)):
        shares = tag_shares(row, LENGTHS[b])
        right = torch.stack([shares[range(STEPS), path][: LENGTHS[b]].sum() for path in row.paths])
        right[row.totals == -INF] = -INF
        close(found.score[b], right.max())
        assert tuple(found.path[b].tolist()) == row.paths[int(right.argmax())]


def test_a_temperature_divides_every_score(exact: Structure) -> None:
    for temperature in (0.5, 1.0, 3.0):
        tempered = exact.tempered(temperature)
        assert type(tempered) is type(exact) and torch.equal(tempered.lengths, exact.lengths)
        log_z, best, before = tempered.log_partition(), tempered.best(), exact.best()
        for b, row in enumerate(rows_of(exact)):
            close(log_z[b], (row.totals / temperature).logsumexp(0))
        assert torch.equal(best.path, before.path)


def test_within_only_what_is_allowed_is_possible(exact: Structure) -> None:
    mask = torch.rand(ROWS, STEPS, TAGS, generator=torch.Generator().manual_seed(2)) < 0.6
    mask[0, 0] = False
    inside = exact.within(mask)
    log_z, marginals = inside.log_partition(), inside.marginals()
    for b, row in enumerate(rows_of(exact)):
        legal = [all(mask[b, t, tag] for t, tag in enumerate(path[: LENGTHS[b]])) for path in row.paths]
        kept = Row(row.paths, row.totals.masked_fill(~torch.tensor(legal), -INF))
        close(log_z[b], kept.totals.logsumexp(0))
        close(marginals[b], tag_shares(kept, LENGTHS[b]))
    assert not marginals[~mask].any() and log_z[0] == -INF


def test_within_needs_booleans_shaped_as_the_scores(exact: Structure) -> None:
    for wrong in (torch.ones(ROWS, STEPS, TAGS), torch.ones(ROWS, STEPS, TAGS + 1, dtype=torch.bool)):
        with pytest.raises(ValueError, match="allowed: expected booleans of shape"):
            exact.within(wrong)


def test_the_mean_of_any_weights_is_that_of_their_scores(exact: Structure) -> None:
    values = tuple(table(9 + n, part, *part.shape) for n, part in enumerate(exact.weights))
    found = exact.expected(values)
    assert found.dtype == torch.float64
    for b, (row, valued) in enumerate(zip(rows_of(exact), rows_of(exact.with_weights(values)), strict=True)):
        close(found[b], (row.shares * valued.totals).sum())


def test_every_verb_that_is_called_exact_is_there(structure: Structure) -> None:
    assert structure.exact >= {"log_prob", "best", "log_partition", "marginals", "ranked", "sample", "entropy", "kl"}
    assert all(callable(getattr(structure, verb)) for verb in structure.exact)
    assert structure.calibrated and isinstance(structure, Distribution)


def test_objectives(structure: Structure) -> None:
    rows = rows_of(structure)
    for path in ((0, 0, 0, 0), (1, 0, 1, 1), (0, 1, 2, 0)):
        target = torch.tensor([path] * ROWS)
        score = structure.score(target).double()
        possible = torch.isfinite(score)
        log_z = torch.stack([row.totals.logsumexp(0) for row in rows])
        top = torch.stack([row.totals.max() for row in rows])
        likelihood = objectives.negative_log_likelihood(structure, target)
        close(likelihood[possible], (log_z - score)[possible])
        close(objectives.perceptron(structure, target)[possible], (top - score)[possible])
        assert (likelihood[~possible] == INF).all()


# -- nothing to do, and what must not matter --------------------------------------------------------------------------

GENERATOR_SEED = 11


def everything(structure: Structure, target: Tensor) -> dict[str, Tensor]:
    """Every verb's answer."""
    found: dict[str, Tensor | Ranked] = {
        "log_partition": structure.log_partition(),
        "log_prob": structure.log_prob(target),
        "marginals": structure.marginals(),
        "best": structure.best(),
        "ranked": structure.ranked(3),
        "sample": structure.sample(3, torch.Generator().manual_seed(GENERATOR_SEED)),
        "entropy": structure.entropy(),
        "kl": structure.kl(structure.tempered(2.0)),
        "minimum_risk": structure.minimum_risk(),
        "tempered": structure.tempered(0.7).log_partition(),
        "within": structure.within(torch.ones_like(structure.scores, dtype=torch.bool)).entropy(),
        "expected": structure.expected(tuple(torch.ones_like(part) for part in structure.weights)),
    }
    if isinstance(structure, LinearChain):
        found["edge_marginals"] = structure.edge_marginals()
    flat: dict[str, Tensor] = {}
    for verb, answer in found.items():
        if isinstance(answer, Ranked):
            flat[f"{verb}.path"], flat[f"{verb}.score"] = answer
        else:
            flat[verb] = answer
    return {verb: answer.detach() for verb, answer in flat.items()}


@pytest.mark.parametrize(("rows", "steps"), [(0, 3), (0, 0), (2, 0), (2, 3)])
def test_empty_batches_and_rows_have_one_answer_which_is_nothing(rows: int, steps: int, make: Maker) -> None:
    lengths = torch.zeros(rows, dtype=torch.int64)
    structure = make(torch.ones(rows, steps, TAGS), lengths)
    found = everything(structure, torch.zeros(rows, steps, dtype=torch.int64))
    ranked = found.pop("ranked.score")
    assert torch.equal(ranked, torch.tensor([[0, -INF, -INF]] * rows).view(rows, 3))
    for verb, answer in found.items():
        assert not answer.any(), verb
    shapes = {
        "log_prob": (rows,), "marginals": (rows, steps, TAGS), "best.path": (rows, steps),
        "ranked.path": (rows, 3, steps), "sample": (3, rows, steps), "minimum_risk.path": (rows, steps),
    }  # fmt: skip
    assert {verb: tuple(found[verb].shape) for verb in shapes} == shapes


@pytest.mark.parametrize("garbage", [math.nan, INF, -INF, 1e30])
def test_padding_is_never_read(garbage: float, make: Maker) -> None:
    for dtype in (torch.float32, torch.float64):
        scores, lengths = weights(dtype)
        dirty = scores.clone()
        target = torch.ones(ROWS, STEPS, dtype=torch.int64)
        padding = torch.arange(STEPS) >= lengths.unsqueeze(1)
        dirty[padding], target[padding] = garbage, -100
        expected, found = (everything(make(part, lengths), target) for part in (scores, dirty))
        for verb in expected:
            torch.testing.assert_close(found[verb], expected[verb], msg=lambda text, verb=verb: f"{verb}: {text}")


@pytest.mark.parametrize("garbage", [math.nan, INF, -INF, 1e30])
def test_transitions_between_padding_are_never_read(garbage: float) -> None:
    scores, lengths = weights(torch.float64)
    transitions, start, end = tables(scores, ROWS, STEPS - 1)
    target = torch.zeros(ROWS, STEPS, dtype=torch.int64)
    dirty = transitions.clone()
    dirty[torch.arange(STEPS - 1) + 1 >= lengths.unsqueeze(1)] = garbage
    answers, gradients = [], []
    for part in (transitions, dirty):
        structure = LinearChain(scores, part.requires_grad_(), start, end, lengths)
        gradients.append(torch.autograd.grad(structure.log_prob(target).sum(), part)[0])
        answers.append(everything(structure, target))
    torch.testing.assert_close(*gradients)
    for verb in answers[0]:
        torch.testing.assert_close(answers[1][verb], answers[0][verb], msg=lambda text, verb=verb: f"{verb}: {text}")


def test_padding_gets_no_gradient_for_any_value(make: Maker) -> None:
    scores, lengths = weights(torch.float64)
    padding = torch.arange(STEPS) >= lengths.unsqueeze(1)
    scores[padding] = math.nan
    target = torch.zeros(ROWS, STEPS, dtype=torch.int64)
    verbs: dict[str, Callable[[Structure], Tensor]] = {
        "log_partition": lambda structure: structure.log_partition(),
        "log_prob": lambda structure: structure.log_prob(target),
        "entropy": lambda structure: structure.entropy(),
        "kl": lambda structure: structure.kl(structure.with_scores(2 * structure.scores)),
    }
    for verb, ask in verbs.items():
        leaf = scores.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(ask(make(leaf, lengths)).sum(), leaf)
        assert not gradient[padding].any() and not gradient.isnan().any(), verb


def test_a_row_without_any_possible_answer_says_so(make: Maker) -> None:
    scores, lengths = weights(torch.float64)
    scores[0, 2] = -INF
    found = everything(make(scores, lengths), torch.zeros(ROWS, STEPS, dtype=torch.int64))
    assert found["log_partition"][0] == found["best.score"][0] == found["minimum_risk.score"][0] == -INF
    assert (found["ranked.score"][0] == -INF).all() and not found["ranked.path"][0].any()
    assert found["log_prob"][0] == -INF and found["entropy"][0] == found["kl"][0] == 0
    assert not found["marginals"][0].any()
    assert not any(answer.isnan().any() for answer in found.values())


def test_the_callers_tensors_stay_untouched(make: Maker) -> None:
    scores, lengths = weights(torch.float32)
    scores[1, 2] = math.nan
    structure = make(scores, lengths)
    held = [scores, lengths, *structure.weights]
    before = [part.numpy().tobytes() for part in held]
    everything(structure, torch.zeros(ROWS, STEPS, dtype=torch.int64))
    assert [part.numpy().tobytes() for part in held] == before
    assert not any(part.requires_grad or part.grad is not None for part in held)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("learned", [False, True])
def test_answers_do_not_depend_on_the_grad_mode(mode: Callable[[], Any], learned: bool, make: Maker) -> None:
    target = torch.zeros(ROWS, STEPS, dtype=torch.int64)

    def made(context: Any) -> Structure:
        with context:
            scores, lengths = weights(torch.float64)
            return make(scores.requires_grad_(learned), lengths)

    expected = everything(made(nullcontext()), target)
    outside, inside = made(nullcontext()), made(mode())
    with mode():
        for structure in (outside, inside):
            found = everything(structure, target)
            for verb in expected:
                torch.testing.assert_close(found[verb], expected[verb], msg=lambda text, verb=verb: f"{verb}: {text}")


# -- derivatives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["entropy", "kl", "tempered", "expected"])
def test_what_is_made_of_means_can_be_differentiated(verb: str, make: Maker) -> None:
    scores, lengths = weights(torch.float64)
    leaf = scores[:, :3].clone().requires_grad_()
    lengths = lengths.clamp(max=3)
    mask = torch.ones(leaf.shape, dtype=torch.bool)
    mask[0, 1, 0] = False

    def ask(part: Tensor) -> Tensor:
        structure = make(part, lengths)
        answers: dict[str, Callable[[], Tensor]] = {
            "entropy": lambda: structure.within(mask).entropy(),
            "kl": lambda: structure.kl(structure.with_scores(part.sin()))[[0, 1, 3]],
            "tempered": lambda: structure.tempered(1.7).log_prob(torch.zeros(ROWS, 3, dtype=torch.int64))[[1, 2]],
            "expected": lambda: structure.expected(tuple(torch.cos(w.nan_to_num()) for w in structure.weights)),
        }
        return answers[verb]()

    assert torch.autograd.gradcheck(ask, leaf)


# -- semirings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("semiring", [LogSemiring, MaxSemiring])
def test_a_semirings_sum_of_nothing_possible_is_impossible_and_gives_no_gradient(semiring: type) -> None:
    values = torch.full((2, 3), -torch.inf, dtype=torch.float64)
    values[1, 1] = 2.0
    values.requires_grad_()
    total = semiring().sum(values, -1)
    assert total.tolist() == [-torch.inf, 2.0]
    (gradient,) = torch.autograd.grad(total[1], values)
    assert gradient.tolist() == [[0, 0, 0], [0, 1, 0]]
    if semiring is LogSemiring:
        (gradient,) = torch.autograd.grad(semiring().sum(values, -1).sum(), values)
        assert gradient.tolist() == [[0, 0, 0], [0, 1, 0]]


def test_the_best_of_equals_is_the_first_and_gets_all_the_gradient() -> None:
    values = torch.tensor([[1.0, 3.0, 3.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(MaxSemiring().sum(values, -1).sum(), values)
    assert gradient.tolist() == [[0, 1, 0]]


def test_independent_decisions_over_a_long_row_keep_their_digits() -> None:
    scores = 10 * torch.randn(1, 5000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).float()
    lengths, target = torch.tensor([5000]), torch.zeros(1, 5000, dtype=torch.int64)
    expected = scores.double().log_softmax(-1)[..., 0].sum(1)
    torch.testing.assert_close(Independent(scores, lengths).log_prob(target).double(), expected, rtol=1e-6, atol=0)
    assert Independent(scores.bfloat16(), lengths).log_prob(target).dtype == torch.float32
