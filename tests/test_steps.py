"""Sequences drawn symbol by symbol, against enumeration of all of them and a plain beam."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from structseq.structures.steps import State, Steps

K, LONGEST = 2, 3


class Table:
    """Chances that depend on everything said so far: a number for each row and prefix."""

    rows, choices = 2, K + 1

    def __init__(self, seed: int = 3, often: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.randn(2, 3**LONGEST * 3, K + 1, generator=generator).double().requires_grad_()
        self.never = torch.rand(self.table.shape, generator=generator) < often
        self.never[..., 0] = False

    def _log_probs(self, rows: Tensor, prefix: Tensor) -> Tensor:
        return self.table.masked_fill(self.never, -torch.inf)[rows, prefix].log_softmax(-1)

    def initial(self) -> tuple[Tensor, State]:
        prefix = torch.zeros(2, dtype=torch.int64)
        return self._log_probs(torch.arange(2), prefix), (prefix,)

    def step(self, symbols: Tensor, rows: Tensor, state: State) -> tuple[Tensor, State]:
        prefix = 3 * state[0] + symbols
        return self._log_probs(rows, prefix % self.table.shape[1]), (prefix,)

    def teacher_forced(self, target: Tensor) -> Tensor:
        logits, state = self.initial()
        found = [logits]
        for symbols in target.unbind(1):
            logits, state = self.step(symbols, torch.arange(2), state)
            found.append(logits)
        return torch.stack(found, 1)


def sequences(longest: int) -> list[list[int]]:
    return [list(y) for length in range(longest + 1) for y in product(range(1, K + 1), repeat=length)]


def padded(sequence: list[int]) -> Tensor:
    return torch.tensor([sequence + [0] * (LONGEST - len(sequence))] * 2)


@pytest.fixture
def steps() -> Steps:
    return Steps(Table(), torch.tensor([LONGEST, 2]))


def test_probabilities_of_all_sequences_add_up_to_one(steps: Steps) -> None:
    every = torch.stack([steps.log_prob(padded(y)) for y in sequences(LONGEST)])
    assert every.exp().sum(0).tolist() == pytest.approx([1, 1])
    long = [len(y) > 2 for y in sequences(LONGEST)]
    assert torch.isneginf(every[long, 1]).all() and torch.isfinite(every[:, 0]).all()


def test_a_beam_as_wide_as_there_are_sequences_finds_all_in_order(steps: Steps) -> None:
    every = sequences(LONGEST)
    scores = torch.stack([steps.log_prob(padded(y)) for y in every], 1)
    found = steps.beam(100, k=20)
    for row, count in enumerate((15, 7)):
        order = scores[row].argsort(descending=True)[:count]
        assert [[s for s in path if s] for path in found.path[row, :count].tolist()] == [every[n] for n in order]
        assert found.score[row, :count].tolist() == pytest.approx(scores[row, order].tolist())
        assert torch.isneginf(found.score[row, count:]).all()


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_scores_are_exact_and_a_wider_beam_is_no_worse_than_greedy_here(steps: Steps, width: int) -> None:
    found = steps.beam(width, k=width)
    for rank in range(width):
        path = torch.nn.functional.pad(found.path[:, rank], (0, LONGEST - found.path.shape[2]))
        real = found.score[:, rank] > -torch.inf
        assert steps.log_prob(path)[real].tolist() == pytest.approx(found.score[real, rank].tolist())
    assert (found.score.diff(dim=1) <= 0).all()


def test_best_takes_the_best_symbol_at_each_step(steps: Steps) -> None:
    table = steps.stepper
    rows, prefix, said = torch.arange(2), torch.zeros(2, dtype=torch.int64), [[], []]
    logits, state = table.initial()
    going = [True, True]
    for step in range(LONGEST):
        symbols = logits.argmax(-1)
        for row in range(2):
            going[row] = going[row] and bool(symbols[row]) and step < (LONGEST, 2)[row]
            if going[row]:
                said[row].append(int(symbols[row]))
        logits, state = table.step(symbols, rows, state)
    assert [[s for s in path if s] for path in steps.best().path.tolist()] == said and not prefix.any()


def test_samples_come_as_often_as_they_are_probable(steps: Steps) -> None:
    drawn = steps.sample(4000, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, steps.sample(4000, torch.Generator().manual_seed(0)))
    for y in sequences(2):
        same = (torch.nn.functional.pad(drawn, (0, LONGEST - drawn.shape[2])) == padded(y)).all(-1).double().mean(0)
        assert same.tolist() == pytest.approx(steps.log_prob(padded(y)).exp().tolist(), abs=0.03)


def test_length_power_favours_longer_answers_and_leaves_scores_alone(steps: Steps) -> None:
    plain, long = steps.beam(100), steps.beam(100, length_power=20.0)
    assert (long.path != 0).sum() >= (plain.path != 0).sum() and (long.score <= plain.score).all()
    path = torch.nn.functional.pad(long.path[:, 0], (0, LONGEST - long.path.shape[2]))
    assert steps.log_prob(path).tolist() == pytest.approx(long.score[:, 0].tolist())


def test_what_is_no_target_is_refused(steps: Steps) -> None:
    for target in (
        torch.tensor([[1, 0, 2]] * 2),
        torch.tensor([[1.0]] * 2),
        torch.tensor([[3]] * 2),
        torch.zeros(3, 1),
    ):
        with pytest.raises(ValueError, match="target"):
            steps.log_prob(target)
    with pytest.raises(ValueError, match="width"):
        steps.beam(0)
    with pytest.raises(ValueError, match="longest"):
        Steps(Table(), torch.tensor([1]))


# -- against a plain beam, and at the edges ---------------------------------------------------------------------------


def plain_beam(steps: Steps, row: int, width: int, power: float) -> list[tuple[list[int], float]]:
    """Sequences and scores, best first, of equals the one whose beginning stood higher."""
    beam, longest = [([], 0.0, True)], int(steps.longest[row])
    for step in range(longest + 1):
        grown = []
        for said, score, going in beam:
            if not going:
                grown.append((said, score, False))
                continue
            each = steps.stepper.teacher_forced(torch.tensor([said] * 2, dtype=torch.int64).view(2, -1))[
                row, -1
            ].tolist()
            if step == longest:
                each = [0.0]  # the end is sure
            grown += [([*said, symbol] if symbol else said, score + e, symbol > 0) for symbol, e in enumerate(each)]
        grown = [one for one in grown if one[1] > -math.inf]
        beam = sorted(grown, key=lambda one: -one[1] / ((5 + len(one[0])) / 6) ** power)[:width]
    return [(said, score) for said, score, _ in beam]


@pytest.mark.parametrize("power", [0.0, 0.6, 3.0])
@pytest.mark.parametrize("width", [1, 2, 3, 6])
@pytest.mark.parametrize("often", [0.0, 0.4])
def test_a_beam_keeps_what_a_plain_beam_keeps(width: int, power: float, often: float) -> None:
    for seed in range(6):
        steps = Steps(Table(seed, often), torch.tensor([LONGEST, 2]))
        for k in {1, width}:
            found = steps.beam(width, k=k, length_power=power)
            assert found.path.shape[:2] == found.score.shape == (2, k)
            for row in range(2):
                expected = plain_beam(steps, row, width, power)[:k]
                answers = [[s for s in path if s] for path in found.path[row, : len(expected)].tolist()]
                assert answers == [said for said, _ in expected]
                assert found.score[row, : len(expected)].tolist() == pytest.approx([score for _, score in expected])
                assert torch.isneginf(found.score[row, len(expected) :]).all()
                assert not found.path[row, len(expected) :].any()


class Never(Table):
    """Counts the hypotheses that are extended."""

    requested = 0

    def step(self, symbols: Tensor, rows: Tensor, state: State) -> tuple[Tensor, State]:
        self.requested += len(symbols)
        return super().step(symbols, rows, state)


def test_ended_hypotheses_and_those_that_cannot_win_are_not_extended() -> None:
    stepper = Never()
    with torch.no_grad():
        stepper.table[:, 0] = torch.tensor([9.0, 0.0, 0.0])  # nothing to say
    steps = Steps(stepper, torch.tensor([LONGEST, 2]))
    assert not steps.beam(5).path.any() and stepper.requested == 0  # the best has ended: what may grow is less
    steps.beam(5, k=5)
    assert 0 < stepper.requested <= 2 * (2 + 4)  # two beginnings, four after them; the ends are no questions


def test_impossible_symbols_have_probability_and_gradient_zero() -> None:
    stepper = Table(often=0.5)
    steps = Steps(stepper, torch.tensor([LONGEST, 2]))
    every = torch.stack([steps.log_prob(padded(y)) for y in sequences(LONGEST)])
    assert every.exp().sum(0).tolist() == pytest.approx([1, 1]) and torch.isneginf(every[:, 0]).any()
    drawn = steps.sample(500, torch.Generator().manual_seed(1))
    drawn = torch.nn.functional.pad(drawn, (0, LONGEST - drawn.shape[2]))
    assert torch.isfinite(torch.stack([steps.log_prob(one) for one in drawn])).all()


def test_the_gradient_is_that_of_what_was_said_and_of_nothing_else() -> None:
    stepper = Table()
    steps = Steps(stepper, torch.tensor([LONGEST, 2]))
    target = torch.tensor([[1, 0, 0], [2, 1, 0]])
    (gradient,) = torch.autograd.grad(steps.log_prob(target).sum(), stepper.table)
    found = [set(gradient[row].abs().sum(-1).nonzero().flatten().tolist()) for row in range(2)]
    assert found == [{0, 1}, {0, 2}]  # behind the longest answer the end is sure, and nothing is learned from it
    for row, prefix, said in ((0, 0, 1), (0, 1, 0), (1, 0, 2), (1, 2, 1)):
        expected = torch.eye(K + 1).double()[said] - stepper.table[row, prefix].detach().softmax(-1)
        assert torch.allclose(gradient[row, prefix], expected)


def test_more_padding_and_other_whole_numbers_change_nothing(steps: Steps) -> None:
    target = torch.tensor([[1, 2], [2, 0]])
    expected = steps.log_prob(target)
    assert torch.equal(steps.log_prob(torch.nn.functional.pad(target, (0, 4))), expected)
    assert torch.equal(steps.log_prob(target.int()), expected)


def test_an_answer_that_may_have_no_symbols_is_empty() -> None:
    steps = Steps(Table(), torch.tensor([0, 0]))
    assert steps.log_prob(torch.zeros(2, 0, dtype=torch.int64)).tolist() == [0.0, 0.0]
    assert steps.log_prob(torch.tensor([[1], [0]])).tolist() == [-math.inf, 0.0]
    found = steps.beam(3, k=2)
    assert found.path.shape == (2, 2, 0) and found.score.tolist() == [[0.0, -math.inf]] * 2
    assert steps.sample(3).shape == (3, 2, 0) and steps.best().path.shape == (2, 0)


def test_it_says_which_verbs_are_exact(steps: Steps) -> None:
    assert steps.exact == {"log_prob", "sample"} and steps.calibrated


def test_asking_leaves_no_trace_of_gradients(steps: Steps) -> None:
    assert not steps.beam(3).score.requires_grad and not steps.best().score.requires_grad
    assert steps.log_prob(padded([1])).requires_grad
