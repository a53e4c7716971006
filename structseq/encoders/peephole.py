"""LSTM with peephole connections."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from structseq.config import EncoderOptions
from structseq.encoders.recurrent import Recurrent
from structseq.errors import ConfigError
from structseq.padded import Padded

Saved = tuple[Tensor, Tensor, Tensor, Tensor]


class PeepholeLSTM(Recurrent):
    """LSTM whose gates also read their own cell (Gers, Schraudolph and Schmidhuber 2002, section 3).

    With z, z_i, z_f, z_o linear in (x_t, a_{t-1}), f logistic, g and h the hyperbolic tangent::

        c' = g(z) f(z_i + p_i c) + c f(z_f + p_f c),   a = h(c') f(z_o + p_o c')

    The states are a. With ``activation="linear"``, g and h are linear.
    """

    class Options(EncoderOptions):
        activation: Literal["tanh", "linear"] = Field("tanh", description="activation of the cell's input and output")

    def __init__(self, in_width: int, width: int, *, recurrent_dropout: float = 0.0, activation: str = "tanh") -> None:
        super().__init__(in_width, width, recurrent_dropout=recurrent_dropout)
        if activation not in ("tanh", "linear"):
            raise ConfigError(f"encoder.activation: expected tanh or linear for lstm_peephole, found {activation!r}")
        self.linear = activation == "linear"
        self.input = nn.Linear(in_width, 4 * width)  # the gates in the order input, forget, cell, output
        self.memory = nn.Parameter(torch.empty(4 * width, width))
        self.peepholes = nn.Parameter(torch.zeros(3, width))  # p_i, p_f, p_o
        nn.init.xavier_uniform_(self.input.weight)
        nn.init.zeros_(self.input.bias)
        with torch.no_grad():
            for gate in self.memory.split(width):
                nn.init.orthogonal_(gate)
            # The forget gate starts open (Jozefowicz, Zaremba and Sutskever 2015, section 2.3).
            self.input.bias[width : 2 * width] = 1.0

    def run(self, values: Tensor, recurrent: Tensor) -> Tensor:
        projected = self.input(values.transpose(0, 1))  # (T, B, 4H)
        states: Tensor = _Unroll.apply(projected, recurrent, self.peepholes, self.linear)
        return states.transpose(0, 1)

    def gates(self, inputs: Padded) -> dict[str, Tensor]:
        i, f, _, o = self._steps(inputs)[0].transpose(0, 1).chunk(4, -1)
        return {"input": i, "forget": f, "output": o}

    def cells(self, inputs: Padded) -> Tensor:
        """(B, T, H) cells after each step."""
        return self._steps(inputs)[1].transpose(0, 1)

    def _steps(self, inputs: Padded) -> Saved:
        with torch.no_grad():
            projected = self.input(inputs.values.transpose(0, 1))
            return unroll(projected, self.recurrent, self.peepholes, self.linear)


def unroll(projected: Tensor, recurrent: Tensor, peepholes: Tensor, linear: bool) -> Saved:
    """The gates (T, B, 4H), the cells (T, B, H), h of the cells, and the states."""
    width = recurrent.shape[1]
    gates, weights = projected.clone(), recurrent.T
    cells, squashed, states = (projected.new_empty(*projected.shape[:2], width) for _ in range(3))
    p_i, p_f, p_o = peepholes
    for t, gate in enumerate(gates):
        if t:
            gate.addmm_(states[t - 1], weights)
        i, f, g, o = gate.split(width, 1)
        if t:
            i.addcmul_(p_i, cells[t - 1])
            f.addcmul_(p_f, cells[t - 1])
        gate[:, : 2 * width].sigmoid_()
        if not linear:
            g.tanh_()
        c = torch.mul(i, g, out=cells[t])
        if t:
            c.addcmul_(f, cells[t - 1])
        o.addcmul_(p_o, c).sigmoid_()
        h = squashed[t].copy_(c) if linear else torch.tanh(c, out=squashed[t])
        torch.mul(o, h, out=states[t])
    return gates, cells, squashed, states


class _Unroll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, recurrent: Tensor, peepholes: Tensor, linear: bool) -> Tensor:
        gates, cells, squashed, states = unroll(projected, recurrent, peepholes, linear)
        ctx.linear = linear
        ctx.save_for_backward(gates, cells, squashed, states, recurrent, peepholes)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        gates, cells, squashed, states, recurrent, peepholes = ctx.saved_tensors
        gradients, (p_i, p_f, p_o) = upstream[0].contiguous(), peepholes
        to_three, to_output, to_cell = _slopes(gates, cells, squashed, ctx.linear)
        width = recurrent.shape[1]
        d_inputs = torch.empty_like(gates)  # (T, B, 4H) gradients of the pre-activations
        carried: Tensor | None = None
        for t in range(len(gates) - 1, -1, -1):
            d_state = gradients[t] if t + 1 == len(gates) else torch.addmm(gradients[t], d_inputs[t + 1], recurrent)
            three, d_o = d_inputs[t, :, : 3 * width], d_inputs[t, :, 3 * width :]
            torch.mul(d_state, to_output[t], out=d_o)
            d_cell = torch.mul(d_state, to_cell[t]).addcmul_(d_o, p_o)
            if carried is not None:
                d_cell += carried
            torch.mul(to_three[t], d_cell.unsqueeze(1), out=three.unflatten(1, (3, width)))
            d_i, d_f = three[:, :width], three[:, width : 2 * width]
            carried = torch.mul(d_cell, gates[t, :, width : 2 * width]).addcmul_(d_i, p_i).addcmul_(d_f, p_f)
        d_recurrent = d_inputs[1:].flatten(0, 1).T @ states[:-1].flatten(0, 1)
        d_i, d_f, _, d_o = d_inputs.split(width, -1)
        d_peepholes = [(d_i[1:] * cells[:-1]), (d_f[1:] * cells[:-1]), d_o * cells]
        return d_inputs, d_recurrent, torch.stack([part.sum((0, 1)) for part in d_peepholes]), None


def _slopes(gates: Tensor, cells: Tensor, squashed: Tensor, linear: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives of c' by z_i, z_f and z (T, B, 3, H), of a by z_o (T, B, H), and of a by c' (T, B, H)."""
    i, f, g, o = gates.chunk(4, -1)
    previous = nn.functional.pad(cells, (0, 0, 0, 0, 1, 0))[:-1]
    three = torch.stack([g * i * (1 - i), previous * f * (1 - f), i if linear else i * (1 - g.square())], 2)
    return three, squashed * o * (1 - o), o if linear else o * (1 - squashed.square())
