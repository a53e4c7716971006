"""Structurally constrained recurrent network."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from structseq.config import EncoderOptions
from structseq.encoders.recurrent import Recurrent
from structseq.errors import ConfigError
from structseq.section import Count


class SCRN(Recurrent):
    """A hidden layer h with slow context units s (Mikolov et al. 2014, section 3.2).

    s_t = (1 - alpha) B x_t + alpha s_{t-1},   h_t = f(A x_t + P s_t + R h_{t-1} + b),   f logistic

    The states are h and s concatenated, ``width + context`` wide. alpha is ``context_decay``: a slow unit remembers
    about 1 / (1 - alpha) steps.
    """

    class Options(EncoderOptions):
        context: Count = Field(40, description="number of slow units")
        context_decay: float = Field(0.95, ge=0, lt=1, description="share of a slow unit that is kept at each step")

    def __init__(
        self,
        in_width: int,
        width: int,
        *,
        recurrent_dropout: float = 0.0,
        context: int = 40,
        context_decay: float = 0.95,
    ) -> None:
        super().__init__(in_width, width + context, recurrent_dropout=recurrent_dropout)
        if context < 1 or not 0 <= context_decay < 1:
            raise ConfigError(
                "encoder.context and encoder.context_decay: expected 1 unit or more and a decay from 0 to below 1, "
                f"found {context} and {context_decay}"
            )
        self.context_decay = context_decay
        self.slow = nn.Linear(in_width, context, bias=False)
        self.input = nn.Linear(in_width, width)
        self.from_context = nn.Linear(context, width, bias=False)
        self.memory = nn.Parameter(torch.empty(width, width))
        for layer in (self.slow, self.input, self.from_context):
            nn.init.xavier_uniform_(layer.weight)
        # The slope of the logistic function is at most 1/4.
        nn.init.orthogonal_(self.memory, gain=4.0)
        with torch.no_grad():
            # Its values are around 1/2; the bias subtracts their mean, so that units do not start saturated.
            self.input.bias.copy_(-0.5 * self.memory.sum(1))

    def run(self, values: Tensor, recurrent: Tensor) -> Tensor:
        steps = values.transpose(0, 1)
        context = _Decay.apply(self.slow(steps) * (1 - self.context_decay), self.context_decay)  # (T, B, context)
        projected = self.input(steps) + self.from_context(context)  # (T, B, H)
        hidden = _Unroll.apply(projected, recurrent)
        return torch.cat([hidden, context], -1).transpose(0, 1)


class _Decay(torch.autograd.Function):
    """s_t = u_t + alpha s_{t-1} for u (T, B, n)."""

    @staticmethod
    def forward(ctx: Any, added: Tensor, alpha: float) -> Tensor:
        ctx.alpha = alpha
        return decayed(added, alpha, range(1, len(added)), -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        steps = range(len(upstream[0]) - 2, -1, -1)
        return decayed(upstream[0], ctx.alpha, steps, 1), None


def decayed(added: Tensor, alpha: float, steps: range, neighbour: int) -> Tensor:
    """s_t = added_t + alpha s_{t + neighbour} for each t of ``steps``, in order."""
    sums = added.clone(memory_format=torch.contiguous_format)
    for t in steps:
        sums[t].add_(sums[t + neighbour], alpha=alpha)
    return sums


class _Unroll(torch.autograd.Function):
    """h_t = logistic(u_t + R h_{t-1}) for u (T, B, H)."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, recurrent: Tensor) -> Tensor:
        hidden, weights = projected.clone(), recurrent.T
        for t, h in enumerate(hidden):
            if t:
                h.addmm_(hidden[t - 1], weights)
            h.sigmoid_()
        ctx.save_for_backward(hidden, recurrent)
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, recurrent = ctx.saved_tensors
        slope = hidden * (1 - hidden)
        d_inputs = slope * upstream[0]  # (T, B, H) gradients of the pre-activations
        for t in range(len(hidden) - 2, -1, -1):
            d_inputs[t].addcmul_(d_inputs[t + 1] @ recurrent, slope[t])
        return d_inputs, d_inputs[1:].flatten(0, 1).T @ hidden[:-1].flatten(0, 1)
