"""Sequences drawn symbol by symbol, against enumeration of all of them; the attention decoder stepped and in one go."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from structseq.data.example import Example
from structseq.errors import ConfigError
from structseq.heads.generating import Decoding, GenerateHead
from structseq.heads.tagging import TagSet
from structseq.padded import Padded
from structseq.spans import PLAIN
from structseq.structures.steps import State, Steps

K, LONGEST = 2, 3


class Table:
    """Chances that depend on everything said so far: a number for each row and prefix."""

    rows, choices = 2, K + 1

    def __init__(self) -> None:
        self.table = torch.randn(2, 3**LONGEST * 3, K + 1, generator=torch.Generator().manual_seed(3)).double()

    def _told(self, rows: Tensor, prefix: Tensor) -> Tensor:
        return self.table[rows, prefix].log_softmax(-1)

    def begin(self) -> tuple[Tensor, State]:
        prefix = torch.zeros(2, dtype=torch.int64)
        return self._told(torch.arange(2), prefix), (prefix,)

    def onward(self, symbols: Tensor, rows: Tensor, state: State) -> tuple[Tensor, State]:
        prefix = 3 * state[0] + symbols
        return self._told(rows, prefix % self.table.shape[1]), (prefix,)

    def along(self, target: Tensor) -> Tensor:
        logits, state = self.begin()
        found = [logits]
        for symbols in target.unbind(1):
            logits, state = self.onward(symbols, torch.arange(2), state)
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
    logits, state = table.begin()
    going = [True, True]
    for step in range(LONGEST):
        symbols = logits.argmax(-1)
        for row in range(2):
            going[row] = going[row] and bool(symbols[row]) and step < (LONGEST, 2)[row]
            if going[row]:
                said[row].append(int(symbols[row]))
        logits, state = table.onward(symbols, rows, state)
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


# -- the decoder -------------------------------------------------------------------------------------------------------

TAGS = TagSet(("a", "b", "c"), PLAIN, PLAIN)


def head(attention: str = "additive") -> GenerateHead:
    torch.manual_seed(0)
    made = GenerateHead(6, TAGS, attention=attention, decoder=5, embedding=4).double().eval()
    made.prepare([Example({"tokens": ("x",)}, {"target": ("a", "b")})])
    return made


def states() -> Padded:
    return Padded.of([torch.randn(n, 6, generator=torch.Generator().manual_seed(n)).double() for n in (4, 2, 1)])


@pytest.mark.parametrize("attention", ["additive", "dot"])
def test_stepping_and_going_along_are_the_same(attention: str) -> None:
    decoding, target = Decoding(head(attention).decoder, states()), torch.tensor([[1, 2, 3], [3, 0, 0], [2, 2, 0]])
    along = decoding.along(target)
    logits, state = decoding.begin()
    for step in range(3):
        assert torch.allclose(logits, along[:, step])
        logits, state = decoding.onward(target[:, step], torch.arange(3), state)
    assert torch.allclose(logits, along[:, 3]) and torch.allclose(along.exp().sum(-1), torch.ones(()).double())


@pytest.mark.parametrize("attention", ["additive", "dot"])
def test_padding_and_companions_change_nothing(attention: str) -> None:
    made, rows, target = head(attention), states(), torch.tensor([[1, 2], [3, 0], [2, 2]])
    together = made(rows).log_prob(target)
    spoilt = rows.values.clone()
    spoilt[~rows.mask()] = torch.nan
    assert torch.equal(made(Padded(spoilt, rows.lengths)).log_prob(target), together)
    for row, length in enumerate(rows.lengths.tolist()):
        alone = made(Padded(rows.values[row : row + 1, :length], rows.lengths[row : row + 1]))
        assert torch.allclose(alone.log_prob(target[row : row + 1]), together[row])
    weights = made.attended(rows, target)
    assert torch.allclose(weights.sum(-1), torch.ones(()).double()) and not weights[1, :, 2:].any()


def test_the_gradient_reaches_every_parameter_and_the_states() -> None:
    made, rows = head(), states()
    values = rows.values.requires_grad_()
    made.loss(Padded(values, rows.lengths), torch.tensor([[1, 2], [3, 0], [2, 2]])).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in made.parameters())
    assert values.grad is not None and not values.grad[1, 2:].any() and values.grad[0].any()


def test_a_few_answers_are_learned_by_heart() -> None:
    made, rows, target = head().train(), states(), torch.tensor([[1, 2], [3, 3], [0, 0]])
    made.decoder.dropout.p = 0.0
    optimiser = torch.optim.Adam(made.parameters(), 0.03)
    for _ in range(60):
        optimiser.zero_grad()
        made.loss(rows, target).sum().backward()
        optimiser.step()
    assert made.predicted(made(rows)) == [("a", "b"), ("c", "c"), ()]
    assert min(made.log_probs(made(rows), [("a", "b"), ("c", "c"), ()])) > -0.2


def test_answers_end_at_twice_the_longest_of_training() -> None:
    made = head()
    with torch.no_grad():
        made.decoder.score.bias[0] = -1e9  # never of itself
    assert [len(answer) for answer in made.predicted(made(states()))] == [4, 4, 4]


def test_what_cannot_be_answered_and_unknown_kinds() -> None:
    assert head().target(Example({"tokens": ("x",)}, {"target": ("a", "z")})) is None
    assert head().target(Example({"tokens": ("x",)}, {"target": ()})) == []
    with pytest.raises(ConfigError, match="expected one of additive, dot, found 'sharp'"):
        GenerateHead(6, TAGS, attention="sharp")
