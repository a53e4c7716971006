"""The first LSTM layer read from words: the input's share of its gates is made once a distinct word and looked up.

What a word contributes to the gates (W x + b) does not depend on where it stands, so a window of sentences needs it once for
each of its words; left for every step is the recurrent share, of both directions in one product. The answers are those of
`Bidirectional` and `LSTM` but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from structseq.encoders.base import Bidirectional, Encoder, Stack
from structseq.encoders.recurrent import LSTM
from structseq.model import Model
from structseq.padded import Padded

Numbers = NDArray[np.int64]


class Projection:
    """A stack's first layer with its weights laid out for looking up, and the layers above it.

    Parameters
    ----------
    directions:
        The layer's LSTM, or its two: forwards, then backwards.
    above:
        The layers that follow.
    """

    def __init__(self, directions: Sequence[LSTM], above: Sequence[Encoder]) -> None:
        self.above = list(above)
        self.width = directions[0].width
        layers = [direction.lstm for direction in directions]
        # torch's gates stand in the order i f g o; here i f o g, so that one call serves the three logistic ones.
        i, f, g, o = torch.arange(4 * self.width).split(self.width)
        order = torch.cat([i, f, o, g])
        with torch.inference_mode():
            self.inputs = torch.stack([layer.weight_ih_l0[order].T for layer in layers])  # (D, F, 4H)
            self.bias = torch.stack([(layer.bias_ih_l0 + layer.bias_hh_l0)[order] for layer in layers])  # (D, 4H)
            self.recurrent = torch.stack([layer.weight_hh_l0[order].T for layer in layers])  # (D, H, 4H)

    @staticmethod
    def of(model: Model) -> Projection | None:
        """The projection of a model on the CPU whose first layer is an LSTM, read one way or both; None for another model."""
        stack = model.encoder
        if not isinstance(stack, Stack) or any(p.device.type != "cpu" for p in model.parameters()):
            return None
        first, *above = stack.layers
        directions = [first.forwards, first.backwards] if isinstance(first, Bidirectional) else [first]
        if any(type(direction) is not LSTM for direction in directions):
            return None
        return Projection(directions, above)

    def project(self, vectors: Tensor, start: int, *, bias: bool) -> Tensor:
        """(D, V, 4H): what V vectors (V, width), which stand at ``start`` in the input, contribute to the gates."""
        weights = self.inputs[:, start : start + vectors.shape[1]]
        products = torch.matmul(vectors, weights)
        return products + self.bias.unsqueeze(1) if bias else products

    def states(self, parts: Sequence[tuple[Tensor, Numbers]], lengths: Numbers) -> Padded:
        """(B, T, H): the stack's states, from projected vectors (D, V, 4H) and which of them stands where (B, T)."""
        steps = np.arange(int(lengths.max()))
        mirror = np.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)  # (B, T)
        gates = sum(_look_up(table, ids, mirror) for table, ids in parts)
        assert isinstance(gates, Tensor)
        hidden = self._recur(gates)  # (T, D, B, H)
        states = Padded(_in_place(hidden, mirror), torch.from_numpy(lengths))
        for layer in self.above:
            states = layer(states)
        return states

    def _recur(self, gates: Tensor) -> Tensor:
        """c_t = f * c_{t-1} + i * g, h_t = o * tanh(c_t); gates (T, D, B, 4H) are overwritten."""
        logistic = 3 * self.width
        hidden = gates.new_empty(*gates.shape[:3], self.width)
        cell: Tensor | None = None
        for t, gate in enumerate(gates):
            if t:
                gate.baddbmm_(hidden[t - 1], self.recurrent)
            i, f, o = gate[..., :logistic].sigmoid_().split(self.width, -1)
            fresh = i * gate[..., logistic:].tanh_()
            cell = fresh if cell is None else torch.addcmul(fresh, f, cell)
            torch.mul(o, cell.tanh(), out=hidden[t])
        return hidden


def _look_up(table: Tensor, ids: Numbers, mirror: Numbers) -> Tensor:
    """(T, D, B, 4H): rows of ``table`` (D, V, 4H) in the order in which each direction reads them."""
    directions, count, width = table.shape
    read = [ids, np.take_along_axis(ids, mirror, 1) + count][:directions]
    places = torch.from_numpy(np.stack(read)).permute(2, 0, 1)  # (T, D, B)
    return table.reshape(-1, width).index_select(0, places.reshape(-1)).view(*places.shape, width)


def _in_place(hidden: Tensor, mirror: Numbers) -> Tensor:
    """(B, T, D H): states in the order of the tokens, from (T, D, B, H) in the order of reading."""
    steps, directions, rows, width = hidden.shape
    states = hidden.new_empty(rows, steps, directions * width)
    states[..., :width] = hidden[:, 0].transpose(0, 1)
    if directions == 2:
        places = (mirror * 2 + 1) * rows + np.arange(rows)[:, None]
        states[..., width:] = hidden.view(-1, width)[torch.from_numpy(places)]
    return states
