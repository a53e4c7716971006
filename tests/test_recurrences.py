"""Each encoder against a plain loop written from its paper: values, and gradients of inputs and of every weight."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from structseq.encoders import ENCODERS, GRU, LSTM, SCRN, Clockwork, Elman, Jordan, PeepholeLSTM, SelfAttention
from structseq.encoders.attention import rotary
from structseq.encoders.base import Encoder
from structseq.errors import ConfigError
from structseq.padded import Padded

F, H, STEPS = 3, 5, 11

Loop = Callable[[Encoder, Tensor], Tensor]


def logistic(z: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-z))


def stacked(states: Iterator[Tensor]) -> Tensor:
    return torch.stack(list(states), 1)


def elman(encoder: Encoder, inputs: Tensor) -> Tensor:
    assert isinstance(encoder, Elman)
    w, r, b, c = encoder.parameters()
    return stacked(_elman(inputs, w, r, b + c, {"tanh": torch.tanh, "relu": torch.relu}[encoder.rnn.nonlinearity]))


def _elman(inputs: Tensor, w: Tensor, r: Tensor, b: Tensor, a: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
    h = inputs.new_zeros(len(inputs), len(r))
    for x in inputs.unbind(1):
        h = a(x @ w.T + h @ r.T + b)
        yield h


def jordan(encoder: Encoder, inputs: Tensor) -> Tensor:
    assert isinstance(encoder, Jordan)
    squash = {"tanh": torch.tanh, "logistic": logistic, "linear": lambda z: z}[encoder.activation]

    def steps() -> Iterator[Tensor]:
        y = inputs.new_zeros(len(inputs), encoder.width)
        for x in inputs.unbind(1):
            h = torch.tanh(x @ encoder.input.weight.T + y @ encoder.memory.T + encoder.input.bias)
            y = squash(h @ encoder.output.weight.T + encoder.output.bias)
            yield y

    return stacked(steps())


def lstm(encoder: Encoder, inputs: Tensor) -> Tensor:
    w, r, b, c = encoder.parameters()

    def steps() -> Iterator[Tensor]:
        a = cell = inputs.new_zeros(len(inputs), H)
        for x in inputs.unbind(1):
            z_i, z_f, z, z_o = (x @ w.T + a @ r.T + b + c).chunk(4, 1)
            cell = torch.tanh(z) * logistic(z_i) + cell * logistic(z_f)
            a = torch.tanh(cell) * logistic(z_o)
            yield a

    return stacked(steps())


def lstm_peephole(encoder: Encoder, inputs: Tensor) -> Tensor:
    assert isinstance(encoder, PeepholeLSTM)
    p_i, p_f, p_o = encoder.peepholes
    g = h = (lambda z: z) if encoder.linear else torch.tanh

    def steps() -> Iterator[Tensor]:
        a = c = inputs.new_zeros(len(inputs), encoder.width)
        for x in inputs.unbind(1):
            z_i, z_f, z, z_o = (x @ encoder.input.weight.T + encoder.input.bias + a @ encoder.memory.T).chunk(4, 1)
            c = g(z) * logistic(z_i + p_i * c) + c * logistic(z_f + p_f * c)
            a = h(c) * logistic(z_o + p_o * c)
            yield a

    return stacked(steps())


def gru(encoder: Encoder, inputs: Tensor) -> Tensor:
    w, r, b, c = encoder.parameters()

    def steps() -> Iterator[Tensor]:
        h = inputs.new_zeros(len(inputs), H)
        for x in inputs.unbind(1):
            (x_r, x_z, x_n), (h_r, h_z, h_n) = (x @ w.T + b).chunk(3, 1), (h @ r.T + c).chunk(3, 1)
            reset, update = logistic(x_r + h_r), logistic(x_z + h_z)
            h = update * h + (1 - update) * torch.tanh(x_n + reset * h_n)
            yield h

    return stacked(steps())


def clockwork(encoder: Encoder, inputs: Tensor) -> Tensor:
    """Module by module, as section 3 of the paper tells it."""
    assert isinstance(encoder, Clockwork)
    spans = list(zip(encoder.starts, encoder.starts[1:], strict=False))

    def steps() -> Iterator[Tensor]:
        modules = [inputs.new_zeros(len(inputs), end - start) for start, end in spans]
        for t, x in enumerate(inputs.unbind(1)):
            before = list(modules)
            for m, ((start, end), period) in enumerate(zip(spans, encoder.periods, strict=True)):
                if t % period == 0:
                    heard = torch.cat(before[m:], 1) @ encoder.memory[m].T
                    modules[m] = torch.tanh(
                        x @ encoder.input.weight[start:end].T + heard + encoder.input.bias[start:end]
                    )
            yield torch.cat(modules, 1)

    return stacked(steps())


def scrn(encoder: Encoder, inputs: Tensor) -> Tensor:
    assert isinstance(encoder, SCRN)
    alpha = encoder.context_decay

    def steps() -> Iterator[Tensor]:
        h = inputs.new_zeros(len(inputs), len(encoder.memory))
        s = inputs.new_zeros(len(inputs), len(encoder.slow.weight))
        for x in inputs.unbind(1):
            s = (1 - alpha) * (x @ encoder.slow.weight.T) + alpha * s
            z = s @ encoder.from_context.weight.T + x @ encoder.input.weight.T + encoder.input.bias
            h = logistic(z + h @ encoder.memory.T)
            yield torch.cat([h, s], 1)

    return stacked(steps())


def attention(encoder: Encoder, inputs: Tensor) -> Tensor:
    """Query by query, key by key."""
    assert isinstance(encoder, SelfAttention)
    x = encoder.entry(inputs)
    parts = encoder.queries_keys_values(encoder.norms[0](x)).chunk(3, -1)
    width = encoder.width // encoder.heads
    seen = []
    for t in range(inputs.shape[1]):
        last = t + 1 if encoder.causal else inputs.shape[1]
        mixed = []
        for head in range(encoder.heads):
            q, k, v = (part[:, :, head * width : (head + 1) * width] for part in parts)
            at_t = rotated(q[:, t], t)
            weights = torch.stack([(at_t * rotated(k[:, s], s)).sum(-1) for s in range(last)], 1) / math.sqrt(width)
            mixed.append((weights.softmax(1).unsqueeze(-1) * v[:, :last]).sum(1))
        seen.append(torch.cat(mixed, -1))
    x = x + encoder.attended(torch.stack(seen, 1))
    return encoder.norms[2](x + encoder.narrow(nn.functional.gelu(encoder.widen(encoder.norms[1](x)))))


def rotated(vectors: Tensor, step: int) -> Tensor:
    """Pairs of neighbours as complex numbers, rotated by the step times 10,000^(-2 j / d)."""
    width = vectors.shape[-1] // 2 * 2
    speeds = 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / max(width, 1))
    pairs = torch.view_as_complex(vectors[..., :width].contiguous().unflatten(-1, (-1, 2)))
    whole = torch.view_as_real(pairs * torch.polar(torch.ones_like(speeds), step * speeds)).flatten(-2)
    return torch.cat([whole, vectors[..., width:]], -1)


CASES: dict[str, tuple[Callable[[], Encoder], Loop]] = {
    "elman": (lambda: Elman(F, H), elman),
    "elman, relu": (lambda: Elman(F, H, activation="relu"), elman),
    "jordan": (lambda: Jordan(F, H), jordan),
    "jordan, logistic, fewer outputs": (lambda: Jordan(F, H, outputs=2, activation="logistic"), jordan),
    "jordan, linear, more outputs": (lambda: Jordan(F, H, outputs=9, activation="linear"), jordan),
    "lstm": (lambda: LSTM(F, H), lstm),
    "lstm_peephole": (lambda: PeepholeLSTM(F, H), lstm_peephole),
    "lstm_peephole, linear": (lambda: PeepholeLSTM(F, H, activation="linear"), lstm_peephole),
    "gru": (lambda: GRU(F, H), gru),
    "clockwork": (lambda: Clockwork(F, H), clockwork),
    "clockwork, one module": (lambda: Clockwork(F, H, periods=(1,)), clockwork),
    "clockwork, no block due at times": (lambda: Clockwork(F, H, periods=(2, 3, 5)), clockwork),
    "clockwork, slower than the sequence": (lambda: Clockwork(F, H, periods=(1, 100)), clockwork),
    "scrn": (lambda: SCRN(F, H), scrn),
    "scrn, other context": (lambda: SCRN(F, H, context=2, context_decay=0.5), scrn),
    "attention": (lambda: SelfAttention(F, 6), attention),
    "attention, both sides, three heads": (lambda: SelfAttention(F, 6, attention_heads=3, causal=False), attention),
    "attention, odd widths": (lambda: SelfAttention(F, 9, attention_heads=3), attention),
}


@pytest.mark.parametrize("steps", [1, 2, STEPS])
@pytest.mark.parametrize("name", CASES)
def test_equal_to_a_plain_loop_in_values_and_gradients(name: str, steps: int) -> None:
    build, loop = CASES[name]
    torch.manual_seed(1)
    encoder = build().double().eval()
    with torch.no_grad():
        for parameter in encoder.parameters():  # no peephole and no bias at 0
            parameter.add_(torch.randn_like(parameter) * 0.3)
    inputs = torch.randn(4, steps, F, dtype=torch.float64, requires_grad=True)
    found = encoder(Padded(inputs, torch.full((4,), steps))).values
    expected = loop(encoder, inputs)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    leaves = [inputs, *encoder.parameters()]
    upstream = torch.randn_like(expected)
    pairs = zip(
        torch.autograd.grad((found * upstream).sum(), leaves, materialize_grads=True),
        torch.autograd.grad((expected * upstream).sum(), leaves, allow_unused=True, materialize_grads=True),
        strict=True,
    )
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def test_every_row_of_the_table_has_a_loop() -> None:
    assert {name.split(",")[0] for name in CASES} == set(ENCODERS)


def test_torchs_own_kernels() -> None:
    """The fused rows are torch's modules with the same weights, dropout or not."""
    inputs = torch.randn(2, 6, F)
    for encoder, kernel in ((Elman(F, H), nn.RNN), (LSTM(F, H), nn.LSTM), (GRU(F, H), nn.GRU)):
        twin = kernel(F, H, batch_first=True)
        twin.load_state_dict(encoder.kernel.state_dict())
        torch.testing.assert_close(encoder(Padded(inputs, torch.tensor([6, 6]))).values, twin(inputs)[0])


# --- the lecture's worked example ------------------------------------------------------------------------------------


def test_the_lectures_lstm_by_hand() -> None:
    """x1 is what may be written, x2 > 0 writes, x2 < 0 forgets, x3 > 0 reads: memory 3 7 7 7 0, outputs 0 0 0 7 0."""
    encoder = PeepholeLSTM(3, 1, activation="linear").double()
    with torch.no_grad():
        encoder.memory.zero_()
        gates = [[0, 100, 0], [0, 100, 0], [1, 0, 0], [0, 0, 100]]  # input, forget, cell, output
        encoder.input.weight.copy_(torch.tensor(gates))
        encoder.input.bias.copy_(torch.tensor([-10, 10, 0, -10]))
    rows = [[3, 1, 0], [4, 1, 0], [2, 0, 0], [1, 0, 1], [3, -1, 0]]
    inputs = Padded(torch.tensor([rows], dtype=torch.float64), torch.tensor([5]))
    memory, outputs = encoder.cells(inputs)[0, :, 0], encoder(inputs).values[0, :, 0].detach()
    torch.testing.assert_close(memory, torch.tensor([3.0, 7, 7, 7, 0], dtype=torch.float64), rtol=0, atol=1e-3)
    torch.testing.assert_close(outputs, torch.tensor([0.0, 0, 0, 7, 0], dtype=torch.float64), rtol=0, atol=1e-3)
    opened = {name: gate[0, :, 0].round().tolist() for name, gate in encoder.gates(inputs).items()}
    assert opened == {"input": [1, 1, 0, 0, 0], "forget": [1, 1, 1, 1, 0], "output": [0, 0, 0, 1, 0]}


# --- what is each one's own ------------------------------------------------------------------------------------------


def test_jordans_memory_is_what_was_answered() -> None:
    """Where two pasts led to the same answer the future is the same for any hidden layer."""
    torch.manual_seed(0)
    encoder = Jordan(F, H, outputs=2)
    with torch.no_grad():
        encoder.output.weight.zero_()
        first, other = torch.randn(2, 1, 4, F)
        other[:, -1] = first[:, -1]
        lengths = torch.tensor([4])
        states = [encoder(Padded(inputs, lengths)).values[0, -1] for inputs in (first, other)]
    assert encoder.width == 2 and torch.equal(*states)


def test_clockworks_modules_move_when_they_are_due() -> None:
    torch.manual_seed(0)
    encoder = Clockwork(F, 8, periods=(1, 2, 4, 8)).eval()
    states = encoder(Padded(torch.randn(1, 17, F), torch.tensor([17]))).values[0]
    moved = (states[1:] != states[:-1]).unflatten(1, (4, 2))
    assert (moved.all(2) == moved.any(2)).all()
    for m, period in enumerate((1, 2, 4, 8)):
        assert (moved.all(2)[:, m].nonzero().squeeze(1) + 1).tolist() == list(range(period, 17, period))


def test_a_slow_module_never_hears_a_fast_one() -> None:
    encoder = Clockwork(F, 9, periods=(1, 3, 9))
    assert torch.equal(encoder.recurrent, encoder.recurrent.triu(-2)) and encoder.starts == (0, 3, 6, 9)
    assert sum(part.numel() for part in encoder.memory) == 3 * (9 + 6 + 3)


@pytest.mark.parametrize("periods", [(), (2, 1), (1, 1), (0, 1), (1, 2, 3, 4, 5, 6)])
def test_periods_that_are_none(periods: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"encoder\.periods: expected increasing whole numbers"):
        Clockwork(F, H, periods=periods)


def test_scrns_context_is_a_running_mean_of_the_inputs() -> None:
    encoder = SCRN(1, H, context=1, context_decay=0.9)
    with torch.no_grad():
        encoder.slow.weight.fill_(1.0)
    states = encoder(Padded(torch.ones(1, 60, 1), torch.tensor([60]))).values[0, :, -1]
    expected = 1 - 0.9 ** torch.arange(1.0, 61)
    torch.testing.assert_close(states.detach(), expected)


@pytest.mark.parametrize(("context", "decay"), [(0, 0.9), (1, 1.0), (1, -0.1)])
def test_contexts_that_are_none(context: int, decay: float) -> None:
    with pytest.raises(ConfigError, match=r"encoder\.context and encoder\.context_decay"):
        SCRN(F, H, context=context, context_decay=decay)


def test_attention_sees_how_far_apart_two_steps_are_and_not_where_they_stand() -> None:
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 8, dtype=torch.float64)
    steps = rotary(queries.expand(1, 1, 40, 8)), rotary(keys.expand(1, 1, 40, 8))
    scores = steps[0] @ steps[1].transpose(-1, -2)
    for apart in (0, 1, 7, -5):
        diagonal = scores[0, 0].diagonal(apart)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    assert len(set(scores[0, 0, 0].round(decimals=9).tolist())) == 40


def test_attention_heads_that_do_not_divide() -> None:
    with pytest.raises(ConfigError, match="expected a divisor of the width 6, found 4"):
        SelfAttention(F, 6, attention_heads=4)


@pytest.mark.parametrize(
    ("kind", "known"), [(Elman, "tanh or relu"), (PeepholeLSTM, "tanh or linear"), (Jordan, "tanh, logistic, linear")]
)
def test_activations_that_are_none(kind: type[Elman], known: str) -> None:
    with pytest.raises(ConfigError, match=rf"{known}.*found 'tan'"):
        kind(F, H, activation="tan")


# --- gates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lstm", "lstm_peephole", "gru"])
def test_gates_are_those_of_the_states(name: str) -> None:
    """The states follow from the gates: the cell (or the state) is what they let through."""
    torch.manual_seed(3)
    encoder = ENCODERS[name](F, H).double().eval()
    inputs = Padded(torch.randn(2, 6, F, dtype=torch.float64), torch.tensor([6, 4]))
    states, gates = encoder(inputs).values, encoder.gates(inputs)
    assert all(gate.shape == states.shape and (gate >= 0).all() and (gate <= 1).all() for gate in gates.values())
    if name == "gru":
        before = nn.functional.pad(states, (0, 0, 1, 0))[:, :-1]
        fresh = (states - gates["update"] * before) / (1 - gates["update"])
        assert (fresh.abs() <= 1).all()
    else:
        cell = torch.atanh(states / gates["output"])
        if name == "lstm_peephole":
            torch.testing.assert_close(cell, encoder.cells(inputs))
        before = nn.functional.pad(cell, (0, 0, 1, 0))[:, :-1]
        written = (cell - gates["forget"] * before) / gates["input"]
        assert (written.abs() <= 1).all()


@pytest.mark.parametrize("name", ENCODERS)
def test_three_thousand_steps_are_finite_both_ways(name: str) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS[name](2, 8)
    inputs = torch.randn(1, 3000, 2, requires_grad=True)
    states = encoder(Padded(inputs, torch.tensor([3000]))).values
    states[:, -1].sum().backward()
    assert torch.isfinite(states).all()
    for leaf in (inputs, *encoder.parameters()):
        assert leaf.grad is not None and torch.isfinite(leaf.grad).all()
