"""Projection: the first LSTM layer, with W x + b computed once for each distinct word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from structseq.encoders.base import Bidirectional, Stack
from structseq.encoders.recurrent import LSTM
from structseq.model import Model
from structseq.padded import Padded

Numbers = NDArray[np.int64]


class Projection:
    """The first layer of a stack (one LSTM, or two: forwards, backwards), and the layers above."""

    def __init__(self, directions: Sequence[LSTM], above: Sequence[nn.Module]) -> None:
        self.above = list(above)
        self.width = directions[0].width
        with torch.inference_mode():
            layers = [_weights(direction.lstm) for direction in directions]
            self.inputs = torch.stack([inputs for inputs, _, _ in layers])  # (D, F, 4H)
            self.recurrent = torch.stack([recurrent for _, recurrent, _ in layers])  # (D, H, 4H)
            self.bias = torch.stack([bias for _, _, bias in layers]).unsqueeze(1)  # (D, 1, 4H)

    @staticmethod
    def of(model: Model) -> Projection | None:
        """The projection of a model; None unless it is on the CPU and its first layer is an LSTM."""
        stack = model.encoder
        if not isinstance(stack, Stack) or any(p.device.type != "cpu" for p in model.parameters()):
            return None
        first, *above = stack.layers
        both = (first.forwards, first.backwards) if isinstance(first, Bidirectional) else (first,)
        directions = [direction for direction in both if type(direction) is LSTM]
        return Projection(directions, above) if len(directions) == len(both) else None

    def project(self, vectors: Tensor, start: int, *, bias: bool) -> Tensor:
        """(D, V, 4H) pre-activations of the gates from vectors (V, width), input columns from ``start`` on."""
        weights = self.inputs[:, start : start + vectors.shape[1]]
        vectors = vectors.expand(len(weights), -1, -1)
        return torch.baddbmm(self.bias, vectors, weights) if bias else torch.bmm(vectors, weights)

    def states(self, parts: Sequence[tuple[Tensor, Numbers]], lengths: Numbers) -> Padded:
        """(B, T, H) states from (projected vectors (D, V, 4H), their numbers (B, T)) of words and columns."""
        steps = np.arange(int(lengths.max()))
        mirror = np.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)  # (B, T)
        words, *columns = parts
        gates = _look_up(*words, mirror)  # (T, D, B, 4H)
        for column in columns:
            gates += _look_up(*column, mirror)
        hidden = self._recur(gates)  # (T, D, B, H)
        states = Padded(_in_token_order(hidden, mirror), torch.from_numpy(lengths))
        for layer in self.above:
            states = layer(states)
        return states

    def _recur(self, gates: Tensor) -> Tensor:
        """(T, D, B, H) states from pre-activations (T, D, B, 4H), which are overwritten.

        c_t = f * c_{t-1} + i * tanh(g_t), h_t = o * tanh(c_t), with tanh(x) as 2 logistic(2 x) - 1, which is faster in
        torch. ``double`` is 2 c_t.
        """
        hidden = gates.new_empty(*gates.shape[:3], self.width)
        double: Tensor | None = None
        for t, gate in enumerate(gates):
            if t:
                gate.baddbmm_(hidden[t - 1], self.recurrent)
            i, f, g, o = gate.sigmoid_().split(self.width, -1)
            update = torch.addcmul(i * -2, i, g, value=4)
            double = update if double is None else update.addcmul_(f, double)
            torch.addcmul(-o, o, double.sigmoid(), value=2, out=hidden[t])
        return hidden


def _weights(lstm: nn.LSTM) -> tuple[Tensor, Tensor, Tensor]:
    """(F, 4H), (H, 4H) and (4H,) weights, doubled for gate g; the order of gates is i f g o."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    inputs, recurrent, bias, other = (lstm.get_parameter(name) for name in names)
    scale = torch.tensor([1.0, 1.0, 2.0, 1.0]).repeat_interleave(lstm.hidden_size)
    return inputs.T * scale, recurrent.T * scale, (bias + other) * scale


def _look_up(table: Tensor, ids: Numbers, mirror: Numbers) -> Tensor:
    """(T, D, B, 4H) rows of ``table`` (D, V, 4H) in reading order."""
    directions, count, width = table.shape
    read = [ids, np.take_along_axis(ids, mirror, 1) + count][:directions]
    places = torch.from_numpy(np.stack(read)).permute(2, 0, 1)  # (T, D, B)
    return table.reshape(-1, width).index_select(0, places.reshape(-1)).view(*places.shape, width)


def _in_token_order(hidden: Tensor, mirror: Numbers) -> Tensor:
    """(B, T, D H) states from (T, D, B, H) in reading order."""
    steps, directions, rows, width = hidden.shape
    states = hidden.new_empty(rows, steps, directions * width)
    states[..., :width] = hidden[:, 0].transpose(0, 1)
    if directions == 2:
        places = (mirror * 2 + 1) * rows + np.arange(rows)[:, None]
        states[..., width:] = hidden.view(-1, width)[torch.from_numpy(places)]
    return states
