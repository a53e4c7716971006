"""What every encoder must satisfy: each law for each row of ENCODERS and for attention on top of another.

One layer forwards, backwards and both ways, and two layers both ways. Two threads give the same bits as one: all other
laws hold for them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor

from structseq.config import EncoderOptions
from structseq.encoders import ENCODERS
from structseq.encoders.base import Bidirectional, Encoder
from structseq.model import build_encoder
from structseq.padded import Padded

IN_WIDTH, WIDTH = 5, 4
LENGTHS = (7, 1, 0, 3, 7)

close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-6)


Arrangement = tuple[int, str]
BOTH_WAYS: list[Arrangement] = [(1, "both ways"), (2, "both ways")]
ARRANGEMENTS: list[Arrangement] = [(1, "forwards"), (1, "backwards"), *BOTH_WAYS]


@pytest.fixture(params=ARRANGEMENTS, ids=str)
def arrangement(request: pytest.FixtureRequest) -> Arrangement:
    found: Arrangement = request.param
    return found


@pytest.fixture
def ways(arrangement: Arrangement) -> str:
    return arrangement[1]


@pytest.fixture(params=[*ENCODERS, "lstm, attention"])
def options(request: pytest.FixtureRequest, arrangement: Arrangement) -> EncoderOptions:
    layers, ways = arrangement
    kind, _, on_top = request.param.partition(", ")
    return EncoderOptions(
        type=kind,
        width=WIDTH,
        layers=layers,
        attention=1 if on_top else 0,
        bidirectional=ways == "both ways",
        backwards=ways == "backwards",
        dropout=0.3,
        recurrent_dropout=0.3,
    )


@pytest.fixture
def build(options: EncoderOptions) -> Callable[[int], Encoder]:
    def built(seed: int = 0) -> Encoder:
        torch.manual_seed(seed)
        return build_encoder(options, IN_WIDTH)

    return built


def on_threads(encoder: Encoder, concurrent: bool) -> Encoder:
    for module in encoder.modules():
        if isinstance(module, Bidirectional):
            module.concurrent = concurrent
    return encoder


@pytest.fixture
def encoder(build: Callable[[int], Encoder]) -> Encoder:
    return build(0).eval()


def sentences(lengths: tuple[int, ...] = LENGTHS, seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, IN_WIDTH, generator=generator) for length in lengths]


def real_parts(states: Padded) -> list[Tensor]:
    """What may be compared: each row's real steps."""
    return [row[:length] for row, length in zip(states.values, states.lengths.tolist(), strict=True)]


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        close(one, other)


def test_widths_lengths_and_types(encoder: Encoder) -> None:
    inputs = Padded.of(sentences())
    states = encoder(inputs)
    assert encoder.in_width == IN_WIDTH
    assert states.values.shape[0] == len(LENGTHS) and states.values.shape[2] == encoder.width
    assert states.values.dtype == torch.float32
    assert states.lengths.dtype == torch.int64 and states.lengths.device.type == "cpu"
    assert int(states.lengths.max()) <= states.values.shape[1]
    assert all(torch.isfinite(row).all() for row in real_parts(states))


def test_padding_content_does_not_matter(encoder: Encoder) -> None:
    inputs = Padded.of(sentences())
    expected = real_parts(encoder(inputs))
    for garbage in (1e6, -1e6, float("inf"), float("nan")):
        dirty = inputs.values.masked_fill(~inputs.mask().unsqueeze(-1), garbage)
        assert_same(real_parts(encoder(inputs.with_values(dirty))), expected)


def test_padding_content_gives_and_gets_no_gradient(build: Callable[[int], Encoder]) -> None:
    inputs = Padded.of(sentences())
    found = []
    for garbage in (0.0, 1e3):
        encoder = build(0).eval()
        values = inputs.values.masked_fill(~inputs.mask().unsqueeze(-1), garbage).requires_grad_()
        states = real_parts(encoder(inputs.with_values(values)))
        torch.cat(states).square().sum().backward()
        assert values.grad is not None and not values.grad[~inputs.mask()].any()
        found.append([values.grad, *(parameter.grad for parameter in encoder.parameters())])
    for one, other in zip(*found, strict=True):
        close(one, other, rtol=1e-4, atol=1e-5)


def test_mixed_precision_gives_nearly_the_same_states_and_gradients(build: Callable[[int], Encoder]) -> None:
    inputs, found = Padded.of(sentences()), []
    for mixed in (False, True):
        encoder = build(0).eval()
        values = inputs.values.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            states = torch.cat(real_parts(encoder(inputs.with_values(values)))).float()
        weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(2))
        (states * weights).sum().backward()
        assert values.grad is not None and all(p.grad is not None for p in encoder.parameters())
        found.append([states, values.grad, *(parameter.grad for parameter in encoder.parameters())])
    for exact, near in zip(*found, strict=True):
        assert near.dtype == torch.float32
        near, exact = near.detach(), exact.detach()
        assert float((near - exact).norm()) <= 0.2 * float(exact.norm()) + 1e-3  # bfloat16 has three digits


def test_more_padding_does_not_matter(encoder: Encoder) -> None:
    inputs = Padded.of(sentences())
    for more in (1, 9):
        wider = inputs.with_values(torch.nn.functional.pad(inputs.values, (0, 0, 0, more), value=3.0))
        assert_same(real_parts(encoder(wider)), real_parts(encoder(inputs)))


def test_neighbours_do_not_matter(encoder: Encoder) -> None:
    # In float64: batches of other sizes are multiplied in another order, whose rounding grows through layers.
    encoder, rows = encoder.double(), [row.double() for row in sentences()]
    together = real_parts(encoder(Padded.of(rows)))
    for b, row in enumerate(rows):
        (alone,) = real_parts(encoder(Padded.of([row])))
        torch.testing.assert_close(alone, together[b], rtol=1e-12, atol=1e-12)
    strangers = [row.double() for row in sentences(seed=2)]
    strangers[3] = rows[3]
    torch.testing.assert_close(real_parts(encoder(Padded.of(strangers)))[3], together[3], rtol=1e-12, atol=1e-12)


def test_permuted_rows_give_permuted_states(encoder: Encoder) -> None:
    rows, order = sentences(), [3, 0, 4, 2, 1]
    moved = real_parts(encoder(Padded.of([rows[b] for b in order])))
    states = real_parts(encoder(Padded.of(rows)))
    assert_same(moved, [states[b] for b in order])


def test_one_step_works(encoder: Encoder) -> None:
    states = encoder(Padded.of(sentences((1,))))
    assert states.lengths.tolist() == [1] and torch.isfinite(states.values).all()


@pytest.mark.parametrize("mode", ["training", "answering"])
def test_nothing_to_read(mode: str, encoder: Encoder, ways: str) -> None:
    encoder.train(mode == "training")
    for rows, steps, concurrent in product((0, 2), (0, 3), (False, True) if ways == "both ways" else (False,)):
        empty = Padded(torch.ones(rows, steps, IN_WIDTH), torch.zeros(rows, dtype=torch.int64))
        states = on_threads(encoder, concurrent)(empty)
        assert states.values.shape[0] == rows and states.values.shape[2] == encoder.width
        assert states.lengths.tolist() == [0] * rows
        if states.values.requires_grad:
            torch.cat(real_parts(states)).sum().backward() if rows else states.values.sum().backward()


@pytest.mark.parametrize("mode", ["training", "answering"])
def test_every_parameter_gets_gradient(mode: str, encoder: Encoder) -> None:
    encoder.train(mode == "training")
    torch.manual_seed(0)
    longer = tuple(length + 13 for length in LENGTHS)  # than the slowest clock, with room for what dropout hides
    for _ in range(3):
        torch.cat(real_parts(encoder(Padded.of(sentences(longer))))).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), f"{name} is out of reach"
        assert torch.isfinite(parameter.grad).all()


def test_every_real_step_reaches_the_states(encoder: Encoder) -> None:
    inputs = Padded.of(sentences())
    values = inputs.values.clone().requires_grad_()
    torch.cat(real_parts(encoder(inputs.with_values(values)))).square().sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad.abs().sum(-1) > 0, inputs.mask())


def test_both_ways_see_both_sides_and_one_way_only_what_was(encoder: Encoder, ways: str) -> None:
    values = torch.randn(1, 6, IN_WIDTH, generator=torch.Generator().manual_seed(0)).requires_grad_()
    states = encoder(Padded(values, torch.tensor([6]))).values
    (gradient,) = torch.autograd.grad(states[0, 2].square().sum(), values)
    seen = gradient[0].abs().sum(-1) > 0
    assert seen.tolist() == [ways != "backwards"] * 2 + [True] + [ways != "forwards"] * 3


def test_the_seed_decides_everything(build: Callable[[int], Encoder]) -> None:
    inputs = Padded.of(sentences())
    one, two, other = build(0), build(0), build(1)
    for first, second in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(first, second)
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    drawn = []
    for encoder in (one, two):
        torch.manual_seed(7)
        drawn.append(encoder.train()(inputs).values)
    assert torch.equal(*drawn)
    assert torch.equal(one.eval()(inputs).values, two.eval()(inputs).values)


def test_the_callers_tensors_stay_untouched(encoder: Encoder) -> None:
    inputs = Padded.of(sentences())
    values, lengths = inputs.values.clone(), inputs.lengths.clone()
    encoder.train()(inputs)
    assert torch.equal(inputs.values, values) and torch.equal(inputs.lengths, lengths)


@pytest.mark.parametrize("arrangement", BOTH_WAYS, ids=str, indirect=True)
@pytest.mark.parametrize("mode", ["training", "answering"])
@pytest.mark.parametrize("leaf", ["inputs learn", "inputs are given"])
def test_two_threads_give_the_same_bits(mode: str, leaf: str, build: Callable[[int], Encoder]) -> None:
    inputs = Padded.of(sentences())
    found = []
    for concurrent in (False, True):
        encoder = on_threads(build(0), concurrent).train(mode == "training")
        values = inputs.values.clone().requires_grad_(leaf == "inputs learn")
        torch.manual_seed(3)
        states = encoder(inputs.with_values(values)).values
        states.square().sum().backward()
        found.append([states.detach(), values.grad, *(parameter.grad for parameter in encoder.parameters())])
    for one, other in zip(*found, strict=True):
        assert one is other is None or torch.equal(one, other)


def test_frozen_weights_stay_and_the_rest_learns(encoder: Encoder) -> None:
    names = [name for name, _ in encoder.named_parameters()]
    frozen = {name for name in names if "weight" in name}
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(name not in frozen)
    torch.cat(real_parts(encoder(Padded.of(sentences())))).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert (parameter.grad is None) == (name in frozen), name


def test_eight_threads_get_what_one_gets(encoder: Encoder) -> None:
    batches = [Padded.of(sentences(seed=seed)) for seed in range(8)]
    with torch.no_grad():
        expected = [encoder(batch).values for batch in batches]
    on_threads(encoder, True)  # each of the eight may use two

    def answer(batch: Padded) -> Tensor:
        with torch.inference_mode():
            return encoder(batch).values

    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for one, other in zip(pool.map(answer, batches), expected, strict=True):
                assert torch.equal(one, other)


def test_answering_draws_nothing(encoder: Encoder) -> None:
    inputs, before = Padded.of(sentences()), torch.get_rng_state()
    first = encoder(inputs).values
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(encoder(inputs).values, first)


def test_grad_modes_do_not_matter(encoder: Encoder) -> None:
    inputs = Padded.of(sentences())
    expected = real_parts(encoder(inputs))
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert_same(real_parts(encoder(inputs)), expected)


def test_weights_survive_a_state_dict(build: Callable[[int], Encoder]) -> None:
    one, other = build(0).eval(), build(1).eval()
    other.load_state_dict(one.state_dict(), strict=True)
    inputs = Padded.of(sentences())
    assert torch.equal(one(inputs).values, other(inputs).values)
