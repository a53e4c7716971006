"""What every structure must satisfy: derived verbs against enumeration by `score` alone, whatever the structure is."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from structseq.structures import objectives
from structseq.structures.base import Best, Independent, LogSum, Structure
from structseq.structures.chain import LinearChain

TAGS, STEPS, LENGTHS = 3, 4, (4, 1, 0, 3)


def weights(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(4, STEPS, TAGS, generator=generator, dtype=torch.float32).to(dtype)
    return scores, torch.tensor(LENGTHS)


def independent(scores: Tensor, lengths: Tensor) -> Structure:
    return Independent(scores, lengths)


def chain(scores: Tensor, lengths: Tensor) -> Structure:
    generator = torch.Generator().manual_seed(1)
    tables = [torch.randn(shape, generator=generator).to(scores.dtype) for shape in ((3, 3), (3,), (3,))]
    return LinearChain(scores, tables[0], tables[1], tables[2], lengths)


def constrained(scores: Tensor, lengths: Tensor) -> Structure:
    moves = torch.zeros(3, 3, dtype=scores.dtype)
    moves[0, 2] = moves[2, 2] = -torch.inf
    start = torch.tensor([0, 0, -torch.inf], dtype=scores.dtype)
    return LinearChain(scores, moves, start, torch.zeros(3, dtype=scores.dtype), lengths)


Maker = Callable[[Tensor, Tensor], Structure]


@pytest.fixture(params=[independent, chain, constrained], ids=lambda maker: maker.__name__)
def make(request: pytest.FixtureRequest) -> Maker:
    found: Maker = request.param
    return found


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def structure(request: pytest.FixtureRequest, make: Maker) -> Structure:
    return make(*weights(request.param))


def every_answer(structure: Structure) -> dict[tuple[int, ...], Tensor]:
    """The score of every sequence of STEPS tags, row by row; a shorter row does not look at what is beyond it."""
    found = itertools.product(range(TAGS), repeat=STEPS)
    return {path: structure.score(torch.tensor([path] * 4)) for path in found}


def own(scores: dict[tuple[int, ...], Tensor], row: int) -> tuple[list[tuple[int, ...]], Tensor]:
    """The distinct answers of one row with their scores."""
    paths = [path for path in scores if not any(path[LENGTHS[row] :])]
    return paths, torch.stack([scores[path][row] for path in paths])


def test_log_partition_best_and_marginals_follow_from_score(structure: Structure) -> None:
    scores = every_answer(structure)
    log_z, best, marginals = structure.log_partition(), structure.best(), structure.marginals()
    for row, length in enumerate(LENGTHS):
        paths, totals = own(scores, row)
        torch.testing.assert_close(log_z[row], totals.logsumexp(0))
        torch.testing.assert_close(best.score[row], totals.max())
        assert tuple(best.path[row].tolist()) == paths[int(totals.argmax())]
        expected = torch.zeros(STEPS, TAGS, dtype=totals.dtype)
        for path, probability in zip(paths, totals.softmax(0), strict=True):
            for t, tag in enumerate(path[:length]):
                expected[t, tag] += probability
        torch.testing.assert_close(marginals[row], expected, rtol=0, atol=1e-5)


def test_probabilities_sum_to_one(structure: Structure) -> None:
    for row in range(4):
        paths, _ = own(every_answer(structure), row)
        total = sum(structure.log_prob(torch.tensor([path] * 4))[row].exp() for path in paths)
        assert float(total) == pytest.approx(1.0, abs=1e-5)


def test_marginals_of_real_steps_sum_to_one_and_of_padding_to_nothing(structure: Structure) -> None:
    real = torch.arange(STEPS) < torch.tensor(LENGTHS).unsqueeze(1)
    torch.testing.assert_close(structure.marginals().sum(-1), real.to(structure.scores.dtype), rtol=0, atol=1e-5)


def test_log_prob_is_never_positive_and_zero_for_an_empty_row(structure: Structure) -> None:
    for path in itertools.product(range(TAGS), repeat=2):
        found = structure.log_prob(torch.tensor([(*path, 0, 0)] * 4))
        assert (found <= 1e-6).all() and found[2] == 0.0


def test_the_gradient_of_log_z_is_the_marginals(make: Maker) -> None:
    scores, lengths = weights(torch.float64)
    leaf = scores.requires_grad_()
    structure = make(leaf, lengths)
    (gradient,) = torch.autograd.grad(structure.log_partition().sum(), leaf)
    torch.testing.assert_close(gradient, structure.marginals())


def test_every_verb_that_is_called_exact_is_there(structure: Structure) -> None:
    assert structure.exact >= {"log_prob", "best", "log_partition", "marginals"}
    assert all(callable(getattr(structure, verb)) for verb in structure.exact)
    assert structure.calibrated


def test_objectives(structure: Structure) -> None:
    scores = every_answer(structure)
    for path in ((0, 0, 0, 0), (1, 0, 1, 1), (0, 1, 2, 0)):
        target = torch.tensor([path] * 4)
        likelihood = objectives.negative_log_likelihood(structure, target)
        distance = objectives.perceptron(structure, target)
        for row in range(4):
            _, totals = own(scores, row)
            torch.testing.assert_close(likelihood[row], totals.logsumexp(0) - scores[path][row], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(distance[row], totals.max() - scores[path][row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("semiring", [LogSum, Best])
def test_a_semirings_sum_of_nothing_possible_is_impossible_and_gives_no_gradient(semiring: type) -> None:
    values = torch.full((2, 3), -torch.inf, dtype=torch.float64)
    values[1, 1] = 2.0
    values.requires_grad_()
    total = semiring().sum(values, -1)
    assert total.tolist() == [-torch.inf, 2.0]
    (gradient,) = torch.autograd.grad(total[1], values)
    assert gradient.tolist() == [[0, 0, 0], [0, 1, 0]]
    if semiring is LogSum:
        (gradient,) = torch.autograd.grad(semiring().sum(values, -1).sum(), values)
        assert gradient.tolist() == [[0, 0, 0], [0, 1, 0]]


def test_the_best_of_equals_is_the_first_and_gets_all_the_gradient() -> None:
    values = torch.tensor([[1.0, 3.0, 3.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(Best().sum(values, -1).sum(), values)
    assert gradient.tolist() == [[0, 1, 0]]
