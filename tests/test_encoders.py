"""The LSTM against torch's own, bidirectional and deep, over packed sequences; reversal row by row; dropout."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from structseq.config import EncoderOptions
from structseq.dropout import LockedDropout
from structseq.encoders.base import Bidirectional, Stack, reverse
from structseq.encoders.recurrent import LSTM
from structseq.errors import ConfigError
from structseq.model import build_encoder
from structseq.padded import Padded

LENGTHS = (6, 2, 1, 5)


def sentences(width: int = 5) -> Padded:
    generator = torch.Generator().manual_seed(0)
    return Padded.of([torch.randn(length, width, generator=generator) for length in LENGTHS])


def torch_twin(encoder: Stack, in_width: int, width: int, *, bidirectional: bool) -> nn.LSTM:
    """torch's nn.LSTM with the same weights."""
    twin = nn.LSTM(in_width, width, num_layers=len(encoder.layers), bidirectional=bidirectional, batch_first=True)
    with torch.no_grad():
        for depth, layer in enumerate(encoder.layers):
            ways = (layer.forwards, layer.backwards) if isinstance(layer, Bidirectional) else (layer,)
            for way, suffix in zip(ways, ("", "_reverse"), strict=False):
                assert isinstance(way, LSTM)
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    getattr(twin, f"{name}_l{depth}{suffix}").copy_(getattr(way.lstm, f"{name}_l0"))
    return twin


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_equal_to_torchs_own_over_packed_sequences(layers: int, bidirectional: bool) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(EncoderOptions(width=4, layers=layers, bidirectional=bidirectional), 5).eval()
    assert isinstance(encoder, Stack)
    twin = torch_twin(encoder, 5, 4, bidirectional=bidirectional)
    inputs = sentences()
    packed = pack_padded_sequence(inputs.values, inputs.lengths, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(twin(packed)[0], batch_first=True)
    found = encoder(inputs)
    assert torch.equal(found.lengths, inputs.lengths)
    real = inputs.mask()
    torch.testing.assert_close(found.values[real], expected[real], rtol=1e-5, atol=1e-6)


def test_one_step_by_hand() -> None:
    """i, f, o = logistic, g = tanh; c = i g from an empty memory; h = o tanh(c)."""
    encoder = LSTM(1, 1)
    with torch.no_grad():
        encoder.lstm.weight_ih_l0.copy_(torch.tensor([[0.5], [9.0], [2.0], [-1.0]]))  # torch's order: i f g o
        encoder.lstm.bias_ih_l0.zero_()
    found = encoder(Padded(torch.tensor([[[1.0]]]), torch.tensor([1]))).values
    i, g, o = torch.sigmoid(torch.tensor(0.5)), torch.tanh(torch.tensor(2.0)), torch.sigmoid(torch.tensor(-1.0))
    torch.testing.assert_close(found.detach().squeeze(), o * torch.tanh(i * g))


def test_the_forget_gate_starts_open() -> None:
    lstm = LSTM(3, 4).lstm
    total = lstm.bias_ih_l0 + lstm.bias_hh_l0
    assert total.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8


def test_reverse_turns_each_rows_real_steps() -> None:
    rows = [torch.arange(1.0, 5.0).unsqueeze(1), torch.tensor([[7.0], [8.0]]), torch.zeros(0, 1)]
    turned = reverse(Padded.of(rows))
    assert turned.values.squeeze(-1).tolist() == [[4, 3, 2, 1], [8, 7, 0, 0], [0, 0, 0, 0]]
    again = reverse(turned)
    assert torch.equal(again.values, Padded.of(rows).values)


def test_reverse_of_rows_of_one_length() -> None:
    full = Padded.of([torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]])])
    assert full.full
    assert reverse(full).values.squeeze(-1).tolist() == [[2, 1], [4, 3]]


def test_recurrent_dropout_acts_in_training_alone_and_on_the_recurrent_weights_alone() -> None:
    torch.manual_seed(0)
    encoder, inputs = LSTM(5, 4, recurrent_dropout=0.5), sentences()
    encoder.eval()
    assert torch.equal(encoder(inputs).values, encoder(inputs).values)
    encoder.train()
    kept = encoder.lstm.weight_hh_l0.clone()
    one, other = encoder(inputs).values, encoder(inputs).values
    assert not torch.equal(one, other)
    assert torch.equal(one[:, 0], other[:, 0]), "the first step has no state to recur on"
    assert torch.equal(encoder.lstm.weight_hh_l0, kept)


def test_dropout_of_a_stack_is_on_every_layers_output() -> None:
    torch.manual_seed(0)
    stack = Stack([LSTM(5, 4), LSTM(4, 4)], LockedDropout(0.5)).train()
    states = stack(sentences())
    dropped = (states.values == 0).all(1)
    assert dropped.any() and not dropped.all(), "a unit is off for all of a row's steps"


def test_an_unknown_encoder_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match='did you mean "lstm"'):
        build_encoder(EncoderOptions(type="lstn"), 3)
