"""Jordan network."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from structseq.config import EncoderOptions
from structseq.encoders.recurrent import Recurrent
from structseq.errors import ConfigError
from structseq.section import Count

ACTIVATIONS = ("tanh", "logistic", "linear")


class Jordan(Recurrent):
    """A recurrent network that remembers its last output (Jordan 1986).

    h_t = tanh(W x_t + R y_{t-1} + b),  y_t = a(V h_t + c);  the states are y.

    h is ``width`` wide; y is ``outputs`` wide, or ``width`` if None. With ``outputs="tags"`` and
    ``head.projection="none"``, y are the scores of the tags.
    """

    class Options(EncoderOptions):
        outputs: Count | Literal["tags"] | None = Field(
            None, description="width of the output layer, which is the memory; tags: the number of tags"
        )
        activation: Literal["tanh", "logistic", "linear"] = Field("tanh", description="activation of the outputs")

    def __init__(
        self,
        in_width: int,
        width: int,
        *,
        recurrent_dropout: float = 0.0,
        outputs: int | None = None,
        activation: str = "tanh",
    ) -> None:
        super().__init__(in_width, outputs or width, recurrent_dropout=recurrent_dropout)
        if activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ConfigError(f"encoder.activation: expected one of {known} for a Jordan network, found {activation!r}")
        self.activation = activation
        self.input = nn.Linear(in_width, width)
        self.output = nn.Linear(width, self.width)
        self.memory = nn.Parameter(torch.empty(width, self.width))
        for layer in (self.input, self.output):
            nn.init.zeros_(layer.bias)
        nn.init.xavier_uniform_(self.input.weight)
        nn.init.orthogonal_(self.output.weight)
        nn.init.orthogonal_(self.memory)

    def run(self, values: Tensor, recurrent: Tensor) -> Tensor:
        projected = self.input(values.transpose(0, 1))  # (T, B, H)
        outputs: Tensor = _Unroll.apply(projected, recurrent, self.output.weight, self.output.bias, self.activation)
        return outputs.transpose(0, 1)


class _Unroll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, recurrent: Tensor, out: Tensor, bias: Tensor, activation: str) -> Tensor:
        hidden = projected.clone()  # (T, B, H)
        outputs = projected.new_empty(*projected.shape[:2], len(out))  # (T, B, outputs)
        to_hidden, to_output = recurrent.T, out.T
        for t, h in enumerate(hidden):
            if t:
                h.addmm_(outputs[t - 1], to_hidden)
            y = torch.addmm(bias, h.tanh_(), to_output, out=outputs[t])
            if activation == "tanh":
                y.tanh_()
            elif activation == "logistic":
                y.sigmoid_()
        ctx.activation = activation
        ctx.save_for_backward(hidden, outputs, recurrent, out)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, outputs, recurrent, out = ctx.saved_tensors
        gradients = upstream[0].contiguous()
        hidden_slope, output_slope = 1 - hidden.square(), _slope(outputs, ctx.activation)
        d_hidden, d_outputs = torch.empty_like(hidden), torch.empty_like(outputs)
        for t in range(len(hidden) - 1, -1, -1):
            d = gradients[t] if t + 1 == len(hidden) else torch.addmm(gradients[t], d_hidden[t + 1], recurrent)
            d = torch.mul(d, output_slope[t], out=d_outputs[t]) if output_slope is not None else d_outputs[t].copy_(d)
            torch.mm(d, out, out=d_hidden[t]).mul_(hidden_slope[t])
        d_recurrent = d_hidden[1:].flatten(0, 1).T @ outputs[:-1].flatten(0, 1)
        d_out = d_outputs.flatten(0, 1).T @ hidden.flatten(0, 1)
        return d_hidden, d_recurrent, d_out, d_outputs.sum((0, 1)), None


def _slope(outputs: Tensor, activation: str) -> Tensor | None:
    """The activation's derivative, from its values; None if 1."""
    if activation == "linear":
        return None
    return 1 - outputs.square() if activation == "tanh" else outputs * (1 - outputs)
