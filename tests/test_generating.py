"""The attention decoder against a plain loop over the papers' equations, stepped and in one go, and as a head."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from task_for_head import task_for
from torch import Tensor

from structseq.data.example import Example
from structseq.errors import ConfigError
from structseq.heads.generating import ATTENTION_TYPES, WINDOW_RADIUS, DecoderStepper, GenerateHead
from structseq.padded import Padded
from structseq.spans import PLAIN, TagSet

TAGS = TagSet(("a", "b", "c"), PLAIN, PLAIN)
TARGET = torch.tensor([[1, 2, 3], [3, 0, 0], [2, 2, 0], [0, 0, 0]])
LENGTHS = (4, 2, 1, 0)


def example(source: str, target: str) -> Example:
    return Example({"tokens": tuple(source)}, {"target": tuple(target)})


def head(attention: str = "additive", **options: Any) -> GenerateHead:
    torch.manual_seed(0)
    made = GenerateHead(6, TAGS, attention=attention, decoder=5, embedding=4, **options).double().eval()
    made.prepare([example("xyz", "abc")])
    return made


def states(lengths: tuple[int, ...] = LENGTHS) -> Padded:
    return Padded.of([torch.randn(n, 6, generator=torch.Generator().manual_seed(n)).double() for n in lengths])


@pytest.fixture(params=ATTENTION_TYPES)
def made(request: pytest.FixtureRequest) -> GenerateHead:
    return head(request.param)


# -- the network ------------------------------------------------------------------------------------------------------


def plain_weights(
    kind: str, own: dict[str, np.ndarray], hidden: np.ndarray, memory: np.ndarray, before: np.ndarray
) -> np.ndarray:
    """Equations of Bahdanau et al., Luong et al., Chorowski et al.: one place after the other."""
    scores = []
    for place, state in enumerate(memory):
        key = own["attention.key.weight"] @ state
        if kind == "dot":
            scores.append(hidden @ key / math.sqrt(len(hidden)))
            continue
        inside = own["attention.query.weight"] @ hidden + own["attention.query.bias"] + key
        if kind == "location":
            near = [
                before[t] if 0 <= t < len(memory) else 0.0
                for t in range(place - WINDOW_RADIUS, place + WINDOW_RADIUS + 1)
            ]
            inside = inside + own["attention.around.weight"] @ np.array(near)
        scores.append(float(own["attention.weight.weight"][0] @ np.tanh(inside)))
    shares = np.exp(np.array(scores) - max(scores, default=0.0))
    return shares / shares.sum() if len(shares) else shares


def plain_decoder(made: GenerateHead, memory: np.ndarray, said: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities (U + 1, K + 1) and weights (U + 1, T) of one row."""
    own = {name: p.detach().numpy() for name, p in made.decoder.named_parameters()}
    pooled = np.concatenate([memory.mean(0), memory.max(0)]) if len(memory) else np.zeros(2 * memory.shape[1])
    hidden, cell = np.split(np.tanh(own["first.weight"] @ pooled + own["first.bias"]), 2)
    looked, weights, found, places = np.zeros_like(hidden), np.zeros(len(memory)), [], []
    for symbol in [0, *said]:
        step_input = np.concatenate([own["embedding.weight"][symbol], looked])
        gates = own["cell.weight_ih"] @ step_input + own["cell.bias_ih"] + own["cell.weight_hh"] @ hidden
        enter, forget, new, out = np.split(gates + own["cell.bias_hh"], 4)
        cell = cell / (1 + np.exp(-forget)) + np.tanh(new) / (1 + np.exp(-enter))
        hidden = np.tanh(cell) / (1 + np.exp(-out))
        weights = plain_weights(made.decoder.attention.kind, own, hidden, memory, weights)
        looked = np.tanh(own["looked.weight"] @ np.concatenate([hidden, weights @ memory]) + own["looked.bias"])
        scores = own["score.weight"] @ looked + own["score.bias"]
        found.append(scores - np.log(np.exp(scores).sum()))
        places.append(weights)
    return np.array(found), np.array(places)


def test_it_says_what_a_plain_loop_over_the_equations_says(made: GenerateHead) -> None:
    rows = states()
    teacher_forced = DecoderStepper(made.decoder, rows).teacher_forced(TARGET)
    weights = made.attention_weights(rows, TARGET)
    log_prob = made(rows).log_prob(TARGET).detach()
    for row, length in enumerate(LENGTHS):
        said = [symbol for symbol in TARGET[row].tolist() if symbol]
        each, places = plain_decoder(made, rows.values[row, :length].numpy(), said)
        np.testing.assert_allclose(teacher_forced[row, : len(each)].detach(), each, atol=1e-9)
        np.testing.assert_allclose(weights[row, : len(each), :length].detach(), places, atol=1e-9)
        total = sum(each[u, symbol] for u, symbol in enumerate([*said, 0]))
        assert float(log_prob[row]) == pytest.approx(total, abs=1e-9)


def test_stepping_and_going_along_are_the_same(made: GenerateHead) -> None:
    decoding = DecoderStepper(made.decoder, states())
    teacher_forced = decoding.teacher_forced(TARGET)
    logits, state = decoding.initial()
    for step in range(3):
        assert torch.allclose(logits, teacher_forced[:, step])
        logits, state = decoding.step(TARGET[:, step], torch.arange(4), state)
    assert torch.allclose(logits, teacher_forced[:, 3]) and torch.allclose(
        teacher_forced.exp().sum(-1), torch.ones(()).double()
    )


def test_hypotheses_of_rows_in_any_order_and_number(made: GenerateHead) -> None:
    decoding = DecoderStepper(made.decoder, states())
    _, state = decoding.initial()
    rows, symbols = torch.tensor([2, 0, 0, 1]), torch.tensor([3, 1, 2, 1])
    found, _ = decoding.step(symbols, rows, tuple(part[rows] for part in state))
    for place, (row, symbol) in enumerate(zip(rows.tolist(), symbols.tolist(), strict=True)):
        target = torch.zeros(4, 1, dtype=torch.int64)
        target[row] = symbol
        assert torch.allclose(found[place], decoding.teacher_forced(target)[row, 1])


def test_padding_companions_and_order_change_nothing(made: GenerateHead) -> None:
    rows = states()
    together, weights = made(rows).log_prob(TARGET), made.attention_weights(rows, TARGET)
    spoilt = rows.values.clone()
    spoilt[~rows.mask()] = torch.nan
    assert torch.equal(made(Padded(spoilt, rows.lengths)).log_prob(TARGET), together)
    order = torch.tensor([3, 1, 0, 2])
    turned = Padded(rows.values[order], rows.lengths[order])
    assert torch.allclose(made(turned).log_prob(TARGET[order]), together[order])
    answers = made.predicted(made(rows))
    for row, length in enumerate(LENGTHS):
        alone = Padded(rows.values[row : row + 1, :length], rows.lengths[row : row + 1])
        assert torch.allclose(made(alone).log_prob(TARGET[row : row + 1]), together[row])
        assert made.predicted(made(alone)) == [answers[row]]
        assert not weights[row, :, length:].any()
        assert torch.allclose(weights[row].sum(-1), torch.tensor(float(length > 0)).double())


def test_no_rows_and_rows_without_steps(made: GenerateHead) -> None:
    nothing = Padded(torch.zeros(0, 3, 6).double(), torch.zeros(0, dtype=torch.int64))
    assert made.predicted(made(nothing)) == [] and made.loss(nothing, made.pad([])).shape == (0,)
    empty = Padded(torch.zeros(2, 0, 6).double(), torch.zeros(2, dtype=torch.int64))
    loss = made.loss(empty, torch.tensor([[1], [0]]))
    assert torch.isfinite(loss).all() and len(made.predicted(made(empty))) == 2


def test_the_gradient_reaches_every_parameter_and_the_states(made: GenerateHead) -> None:
    rows = states()
    values = rows.values.requires_grad_()
    made.loss(Padded(values, rows.lengths), TARGET).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in made.parameters())
    assert values.grad is not None and not values.grad[~rows.mask()].any()
    assert all(values.grad[row, :length].any() for row, length in enumerate(LENGTHS) if length)


def test_dropout_is_for_training_alone() -> None:
    made, rows = head(dropout=0.5), states()
    expected = made.loss(rows, TARGET)
    torch.manual_seed(1)
    dropped = made.train().loss(rows, TARGET)
    assert not torch.allclose(dropped, expected) and torch.equal(made.eval().loss(rows, TARGET), expected)


# -- the head ---------------------------------------------------------------------------------------------------------


def learned(made: GenerateHead, rows: Padded, target: Tensor, updates: int) -> float:
    """The last loss."""
    optimiser = torch.optim.Adam(made.train().parameters(), 0.03)
    for _ in range(updates):
        optimiser.zero_grad()
        loss = made.loss(rows, target).sum()
        loss.backward()
        optimiser.step()
    made.eval()
    return float(loss.detach())


@pytest.mark.parametrize("attention", ATTENTION_TYPES)
def test_a_few_answers_are_learned_by_heart(attention: str) -> None:
    made, rows = head(attention, dropout=0.0), states((4, 2, 1))
    assert learned(made, rows, torch.tensor([[1, 2], [3, 3], [0, 0]]), 60) < 0.6
    answers = [("a", "b"), ("c", "c"), ()]
    assert made.predicted(made(rows)) == answers
    assert min(made.log_probs(made(rows), answers)) > -0.2


def test_a_wider_beam_finds_no_less_and_all_of_it_has_its_probability(made: GenerateHead) -> None:
    rows, made.beam = states(), 4
    distribution = made(rows)
    found = distribution.beam(200, k=3)
    for rank in range(3):
        assert torch.allclose(distribution.log_prob(found.path[:, rank]), found.score[:, rank])
    assert (found.score[:, 0] >= distribution.best().score - 1e-12).all()
    assert made.predicted(distribution) == made.answers(distribution.beam(4).path[:, 0].tolist())


def test_answers_end_at_twice_what_training_showed() -> None:
    made, rows = head(), states((1, 2, 3, 8))
    with torch.no_grad():
        made.decoder.score.bias[0] = -1e9  # never of itself
    assert [len(answer) for answer in made.predicted(made(rows))] == [6, 6, 6, 16]
    made.prepare([example("x", "ab"), example("xyz", "abc"), example("", "a")])
    assert [len(answer) for answer in made.predicted(made(rows))] == [6, 8, 12, 32]
    made.prepare([])
    assert made.predicted(made(rows)) == [()] * 4
    assert {"longest", "a_step"} <= made.state_dict().keys()


def test_targets_are_numbers_from_one_and_unknown_symbols_are_none() -> None:
    made = head()
    assert made.target(example("x", "acb")) == [1, 3, 2] and made.target(example("x", "")) == []
    assert made.target(example("x", "az")) is None
    assert made.pad([[1, 3], [], [2]]).tolist() == [[1, 3], [0, 0], [2, 0]]
    assert made.answers([[1, 3, 0], [0, 0, 0]]) == [("a", "c"), ()]
    assert made.symbols() == ("a", "b", "c") and made.task == "transduction"


def test_the_criterion_is_the_mean_of_exact_match_and_what_is_not_edited() -> None:
    criterion = task_for(head()).criterion
    assert criterion([("a", "b"), ("c", "c")], [("a", "b"), ("c", "c")]) == 1
    assert criterion([("a", "b"), ("c", "c")], [("a", "b"), ("c", "b")]) == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert criterion([("a",)], [("b", "b", "b")]) == 0  # more edits than symbols


def test_an_unknown_kind_of_attention_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"head\.attention: expected one of additive, dot, location, found 'sharp'"):
        GenerateHead(6, TAGS, attention="sharp")


def test_knowing_where_it_looked_parts_places_that_look_alike() -> None:
    rows, target = Padded(torch.ones(1, 5, 6).double(), torch.tensor([5])), torch.tensor([[1, 2, 3, 1]])
    for kind in ATTENTION_TYPES:
        apart = head(kind).attention_weights(rows, target).diff(dim=2).abs().amax(2)[0]
        assert apart[0] < 1e-12  # nothing was looked at before the first symbol
        assert ((apart[1:] > 1e-6) == (kind == "location")).all()
