"""Training objectives against enumeration, their bounds against each other, and their derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import oracles
import pytest
import test_chain_verbs as verbs
import torch
from oracles import Chain
from test_chain_verbs import Case, Way
from torch import Tensor

from structseq.structures import objectives
from structseq.structures.base import Independent, Structure
from structseq.structures.chain import LinearChain

INF = math.inf
COST = np.array([[0.0, 0.5, 4.0], [2.0, 0.0, 1.0], [0.25, 8.0, 0.0]])  # [gold, predicted]
EVERY = ("negative_log_likelihood", "perceptron", "structured_svm", "softmax_margin", "partial_likelihood")


class Question(NamedTuple):
    """A batch with an answer of each row that is possible, and tags that include it."""

    case: Case
    target: Tensor
    allowed: Tensor

    def rows(self) -> list[tuple[Chain, oracles.Path, np.ndarray]]:
        """Each row with its target and its allowed tags."""
        found = []
        for b, row in enumerate(self.case.rows()):
            length = len(row.scores)
            found.append((row, tuple(self.target[b, :length].tolist()), self.allowed[b, :length].numpy()))
        return found


def question(shape: str, forbidding: str) -> Question:
    """Rows that all have possible answers; padding holds NaN, -100 and any allowed tags."""
    case = verbs.possible_case(3, shape, forbidding, (4, 3, 2, 1, 0, 4))
    target, _ = verbs.gold_of(case, [verbs.truth_of(row) for row in case.rows()])
    chance = np.random.default_rng(1).random(case.scores.shape) < 0.4
    allowed = torch.tensor(chance) | torch.nn.functional.one_hot(target.clamp(min=0), 3).bool()
    return Question(case, target, allowed)


@pytest.fixture(scope="module", params=verbs.SHAPES)
def batch(request: pytest.FixtureRequest) -> Question:
    return question(request.param, "both")


@pytest.fixture(params=verbs.WAYS, ids=lambda way: way.name)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Way:
    return verbs.prepared(request.param, monkeypatch)


@pytest.fixture(params=[verbs.COMPILED_DOUBLE, verbs.VECTORISED_DOUBLE], ids=lambda way: way.name)
def exact_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Way:
    return verbs.prepared(request.param, monkeypatch)


def ask(name: str, structure: Structure, batch: Question, cost: np.ndarray | None = None) -> Tensor:
    """The objective of that name, a cost given only where it takes one."""
    if name == "partial_likelihood":
        return objectives.partial_likelihood(structure, batch.allowed)
    if cost is None:
        found: Tensor = getattr(objectives, name)(structure, batch.target)
        return found
    found = getattr(objectives, name)(structure, batch.target, torch.tensor(cost))
    return found


def truth(name: str, batch: Question, cost: np.ndarray | None = None) -> list[float]:
    """What enumeration says."""
    of: dict[str, Callable[[Chain, oracles.Path, np.ndarray], float]] = {
        "negative_log_likelihood": lambda row, gold, _: -oracles.log_prob(row, gold),
        "perceptron": lambda row, gold, _: oracles.best(row)[1] - oracles.path_score(row, gold),
        "structured_svm": lambda row, gold, _: oracles.structured_svm(row, gold, cost),
        "softmax_margin": lambda row, gold, _: oracles.softmax_margin(row, gold, cost),
        "partial_likelihood": lambda row, _, allowed: oracles.partial_likelihood(row, allowed),
    }
    return [of[name](*row) for row in batch.rows()]


# -- against enumeration ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_against_enumeration(name: str, batch: Question, way: Way) -> None:
    found = ask(name, way.chain(batch.case), batch)
    assert found.shape == (6,) and found.dtype == way.dtype and (found >= 0).all()
    way.close(found, truth(name, batch), verbs.size_of(batch.case))


@pytest.mark.parametrize("name", ["structured_svm", "softmax_margin"])
def test_mistakes_that_cost_more_than_others(name: str, batch: Question, way: Way) -> None:
    found = ask(name, way.chain(batch.case), batch, COST)
    way.close(found, truth(name, batch, COST), verbs.size_of(batch.case))
    assert not np.allclose(found, truth(name, batch, COST.T)), "[gold, predicted], not the other way round"


@pytest.mark.parametrize("name", EVERY)
def test_of_softmax_as_a_structure(name: str, batch: Question) -> None:
    case = batch.case._replace(transitions=np.zeros((3, 3)), start=np.zeros(3), end=np.zeros(3), allowed=None)
    found = ask(name, Independent(torch.tensor(case.scores), torch.tensor(case.lengths)), batch)
    np.testing.assert_allclose(found, truth(name, batch._replace(case=case)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", EVERY)
def test_scores_of_ten_thousand(name: str, way: Way) -> None:
    plain = question("(K,K)", "nothing")
    raised = plain._replace(case=plain.case._replace(scores=verbs.single(plain.case.scores + 1e4)))
    found = ask(name, way.chain(raised.case), raised)
    assert (found >= 0).all() and found.isfinite().all()
    way.close(found, truth(name, raised), verbs.size_of(raised.case))


def test_gradients_are_counts_of_the_worst_answer_less_those_of_the_target(exact_way: Way) -> None:
    plain = question("(K,K)", "nothing")
    for name, cost in (("perceptron", None), ("structured_svm", None), ("structured_svm", COST)):
        leaves = exact_way.tensors(plain.case, differentiable=True)
        found = torch.autograd.grad(ask(name, exact_way.over(leaves, plain.case), plain, cost).sum(), leaves)
        expected = torch.zeros(plain.case.scores.shape)
        transitions = torch.zeros(3, 3)
        for b, (row, gold, _) in enumerate(plain.rows()):
            added = dict(oracles.costs(row, gold, np.zeros((3, 3)) if name == "perceptron" else cost))
            worst = max(added, key=lambda path, row=row, added=added: oracles.path_score(row, path) + added[path])
            for path, sign in ((worst, 1), (gold, -1)):
                for t, tag in enumerate(path):
                    expected[b, t, tag] += sign
                    if t > 0:
                        transitions[path[t - 1], tag] += sign
        assert torch.equal(found[0].float(), expected) and torch.equal(found[1].float(), transitions)


# -- what they are to each other --------------------------------------------------------------------------------------


def test_the_perceptron_is_content_with_the_best_answer_and_no_other(way: Way) -> None:
    plain = question("(K,K)", "nothing")
    chain = way.chain(plain.case)
    ranked = chain.ranked(2).path
    assert torch.equal(objectives.perceptron(chain, ranked[:, 0]), torch.zeros(6, dtype=way.dtype))
    several = torch.tensor(plain.case.lengths > 0)
    assert (objectives.perceptron(chain, ranked[:, 1])[several] > 1e-3).all()


@pytest.mark.parametrize("cost", [None, COST], ids=["Hamming", "matrix"])
def test_the_hinge_bounds_the_cost_of_the_best_answer(cost: np.ndarray | None, batch: Question, way: Way) -> None:
    chain = way.chain(batch.case)
    hinge = ask("structured_svm", chain, batch, cost)
    best = chain.best().path
    for b, (row, gold, _) in enumerate(batch.rows()):
        answer = tuple(best[b, : len(row.scores)].tolist())
        assert float(hinge[b]) >= dict(oracles.costs(row, gold, cost))[answer] - 1e-4
    assert (hinge >= objectives.perceptron(chain, batch.target) - 1e-4).all()
    assert (ask("softmax_margin", chain, batch, cost) >= hinge - 1e-4).all()


def test_without_cost_the_softmax_margin_is_the_likelihood_and_the_hinge_the_perceptron(
    batch: Question, way: Way
) -> None:
    chain, free = way.chain(batch.case), np.zeros((3, 3))
    size = verbs.size_of(batch.case)
    way.close(ask("softmax_margin", chain, batch, free), ask("negative_log_likelihood", chain, batch), size)
    way.close(ask("structured_svm", chain, batch, free), ask("perceptron", chain, batch), size)


def test_partial_likelihood_lies_between_nothing_and_the_whole(batch: Question, way: Way) -> None:
    chain = way.chain(batch.case)
    size = verbs.size_of(batch.case)
    alone = torch.nn.functional.one_hot(batch.target.clamp(min=0), 3).bool()
    nll = objectives.negative_log_likelihood(chain, batch.target)
    way.close(objectives.partial_likelihood(chain, alone), nll, size)
    assert not objectives.partial_likelihood(chain, torch.ones_like(alone)).any()
    wider, generator = alone.clone(), torch.Generator().manual_seed(0)
    before = nll
    for _ in range(4):
        wider |= torch.rand(wider.shape, generator=generator) < 0.3
        here = objectives.partial_likelihood(chain, wider)
        assert (here <= before + 1e-5 * size).all()
        before = here


def test_what_no_answer_can_be_within_costs_everything(way: Way) -> None:
    plain = question("(K,K)", "nothing")
    nothing = torch.zeros(plain.case.scores.shape, dtype=torch.bool)
    found = objectives.partial_likelihood(way.chain(plain.case), nothing)
    assert found.tolist() == [INF if length else 0.0 for length in plain.case.lengths]


# -- padding and nothing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_padding_costs_nothing(name: str, way: Way) -> None:
    plain = question("(K,K)", "nothing")
    padded = Question(
        plain.case._replace(scores=np.pad(plain.case.scores, ((0, 0), (0, 3), (0, 0)), constant_values=math.nan)),
        torch.nn.functional.pad(plain.target, (0, 3), value=-100),
        torch.nn.functional.pad(plain.allowed, (0, 0, 0, 3)),
    )
    answered = padded._replace(target=torch.where(padded.target < 0, 1, padded.target), allowed=~padded.allowed)
    answered.allowed[:, :4] = torch.where(padded.target[:, :4, None] < 0, False, padded.allowed[:, :4])
    for cost in (None, COST) if name in ("structured_svm", "softmax_margin") else (None,):
        expected = ask(name, way.chain(plain.case), plain, cost)
        for other in (padded, answered):
            leaves = way.tensors(other.case, differentiable=True)
            found = ask(name, way.over(leaves, other.case), other, cost)
            torch.testing.assert_close(found, expected)
            (gradient,) = torch.autograd.grad(found.sum(), leaves[:1])
            assert not gradient[:, 4:].any() and not gradient.isnan().any()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("lengths", [(), (0, 0)], ids=str)
def test_nothing_to_learn_from(name: str, lengths: tuple[int, ...], way: Way) -> None:
    for steps in (0, 2):
        case = verbs.random_case(3, "(K,K)", "nothing", lengths=lengths, steps=steps)
        shape = (len(lengths), steps)
        empty = Question(case, torch.full(shape, -100), torch.zeros(*shape, 3, dtype=torch.bool))
        assert torch.equal(ask(name, way.chain(case), empty), torch.zeros(len(lengths), dtype=way.dtype))


@pytest.mark.parametrize("name", EVERY)
def test_a_row_in_which_nothing_is_possible_is_no_nan(name: str, way: Way) -> None:
    plain = question("(K,K)", "nothing")
    scores = plain.case.scores.copy()
    scores[0, 1] = -INF
    dead = plain._replace(case=plain.case._replace(scores=scores))
    found = ask(name, way.chain(dead.case), dead)
    assert found[0] == INF
    way.close(found[1:], truth(name, plain)[1:], verbs.size_of(plain.case))


@pytest.mark.parametrize("objective", [objectives.structured_svm, objectives.softmax_margin])
def test_the_right_answer_costs_nothing_for_any_diagonal(objective: Callable[..., Tensor]) -> None:
    scores = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    chain = LinearChain(scores, torch.zeros(4, 4), torch.zeros(4), torch.zeros(4), torch.tensor([3, 2]))
    target = torch.tensor([[0, 1, 2], [3, 3, 0]])
    plain = 1 - torch.eye(4)
    assert torch.equal(objective(chain, target, plain + 5 * torch.eye(4)), objective(chain, target, plain))


@pytest.mark.parametrize("name", ["structured_svm", "softmax_margin"])
def test_a_cost_or_a_target_of_the_wrong_shape_is_an_error(name: str) -> None:
    plain = question("(K,K)", "nothing")
    chain = verbs.COMPILED.chain(plain.case)
    for wrong in (torch.zeros(2, 2), torch.zeros(3), torch.zeros(6, 3, 3)):
        with pytest.raises(ValueError, match=r"cost.*\(3, 3\)"):
            getattr(objectives, name)(chain, plain.target, wrong)
    for wrong in (plain.target[:, :3], plain.target[0]):
        with pytest.raises(ValueError, match="expected"):
            getattr(objectives, name)(chain, wrong)


# -- derivatives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["(K,K)", "(B,K,K)", "(B,T-1,K,K)"])
@pytest.mark.parametrize("name", EVERY)
def test_gradients_and_of_the_smooth_ones_their_gradients(name: str, shape: str, exact_way: Way) -> None:
    case = verbs.random_case(3, shape, "nothing", lengths=(3, 1, 0), variant=5)
    case = case._replace(scores=np.nan_to_num(case.scores))
    target = torch.tensor([[1, 2, 0], [2, 0, 0], [0, 0, 0]])
    mask = torch.nn.functional.one_hot(target, 3).bool()
    mask[0, 0, 0] = mask[0, 2, 2] = mask[1, 0, 0] = True
    small = Question(case, target, mask)
    leaves = exact_way.tensors(case, differentiable=True)

    def value(*parts: Tensor) -> Tensor:
        return ask(name, exact_way.over(parts, case), small)

    assert torch.autograd.gradcheck(value, leaves, fast_mode=shape != "(K,K)")
    if name not in ("perceptron", "structured_svm"):
        assert torch.autograd.gradgradcheck(value, leaves, fast_mode=True)
