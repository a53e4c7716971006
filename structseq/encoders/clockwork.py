"""Clockwork network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from structseq.config import EncoderOptions
from structseq.encoders.recurrent import Recurrent
from structseq.errors import ConfigError
from structseq.section import Count


class Clockwork(Recurrent):
    """A hidden layer of modules with different update periods (Koutnik et al. 2014, section 3).

    h_t = tanh(W x_t + R h_{t-1} + b) for the units of modules whose period divides t (t from 0), h_{t-1} for the
    others. R is block-triangular: a module reads itself and slower ones. The units are divided evenly; the first
    modules take the remainder.
    """

    class Options(EncoderOptions):
        periods: tuple[Count, ...] = Field((1, 2, 4, 8), description="periods of the modules in steps, increasing")

    def __init__(
        self, in_width: int, width: int, *, recurrent_dropout: float = 0.0, periods: Sequence[int] = (1, 2, 4, 8)
    ) -> None:
        super().__init__(in_width, width, recurrent_dropout=recurrent_dropout)
        if not periods or any(a >= b for a, b in zip((0, *periods), periods, strict=False)) or len(periods) > width:
            raise ConfigError(
                "encoder.periods: expected increasing whole numbers from 1 on, at most encoder.width of them, "
                f"found {list(periods)} with width {width}"
            )
        self.periods = tuple(periods)
        sizes = [width // len(periods) + (m < width % len(periods)) for m in range(len(periods))]
        self.starts = tuple(sum(sizes[:m]) for m in range(len(periods) + 1))
        self.input = nn.Linear(in_width, width)
        nn.init.xavier_uniform_(self.input.weight)
        nn.init.zeros_(self.input.bias)
        # One row of blocks per module, with the columns of itself and the slower ones
        self.memory = nn.ParameterList(
            nn.init.orthogonal_(torch.empty(size, width - start))
            for size, start in zip(sizes, self.starts, strict=False)
        )

    @property
    def recurrent(self) -> Tensor:
        """(H, H) R; 0 from faster modules."""
        pad = nn.functional.pad
        return torch.cat([pad(row, (start, 0)) for row, start in zip(self.memory, self.starts, strict=False)])

    def run(self, values: Tensor, recurrent: Tensor) -> Tensor:
        projected = self.input(values.transpose(0, 1))  # (T, B, H)
        states: Tensor = _Unroll.apply(projected, recurrent, self.periods, self.starts)
        return states.transpose(0, 1)


class _Clock:
    def __init__(self, periods: Sequence[int], starts: Sequence[int], device: torch.device) -> None:
        self.periods, self.starts, self.device = periods, starts, device
        self.cache: dict[tuple[bool, ...], tuple[int, Tensor | None]] = {}

    def at(self, t: int) -> tuple[int, Tensor | None]:
        """The number of units up to the last updated at step ``t``, and a mask of the updated ones (None: all)."""
        due = tuple(t % period == 0 for period in self.periods)
        if due not in self.cache:
            slowest = max((m + 1 for m, updated in enumerate(due) if updated), default=0)
            sizes = [self.starts[m + 1] - self.starts[m] for m in range(slowest)]
            units = [updated for updated, size in zip(due, sizes, strict=False) for _ in range(size)]
            mask = None if all(due[:slowest]) else torch.tensor(units, device=self.device)
            self.cache[due] = (self.starts[slowest], mask)
        return self.cache[due]


class _Unroll(torch.autograd.Function):
    """All steps; each multiplies by the rows up to the last updated unit."""

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, recurrent: Tensor, periods: Sequence[int], starts: Sequence[int]
    ) -> Tensor:
        clock, states, weights = _Clock(periods, starts, projected.device), torch.empty_like(projected), recurrent.T
        for t, state in enumerate(states):
            if t == 0:
                torch.tanh(projected[0], out=state)
                continue
            count, due = clock.at(t)
            state.copy_(states[t - 1])
            if count:
                fresh = torch.addmm(projected[t, :, :count], states[t - 1], weights[:, :count]).tanh_()
                state[:, :count] = fresh if due is None else torch.where(due, fresh, state[:, :count])
        ctx.clock = clock
        ctx.save_for_backward(states, recurrent)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        states, recurrent = ctx.saved_tensors
        clock, slope = ctx.clock, 1 - states.square()
        d_inputs = torch.zeros_like(states)  # (T, B, H) gradients of the pre-activations
        carried = torch.zeros_like(states[0])
        for t in range(len(states) - 1, -1, -1):
            carried += upstream[0][t]
            count, due = clock.at(t) if t else (carried.shape[1], None)
            if not count:
                continue
            d_input = torch.mul(carried[:, :count], slope[t, :, :count], out=d_inputs[t, :, :count])
            if due is None:
                carried[:, :count] = 0
            else:
                d_input.mul_(due)
                carried[:, :count].masked_fill_(due, 0)
            if t:
                carried.addmm_(d_input, recurrent[:count])
        return d_inputs, _d_recurrent(d_inputs, states, clock), None, None


def _d_recurrent(d_inputs: Tensor, states: Tensor, clock: _Clock) -> Tensor:
    """(H, H) the gradient of R."""
    gradient = states.new_zeros(states.shape[-1], states.shape[-1])
    for period, start, end in zip(clock.periods, clock.starts, clock.starts[1:], strict=False):
        updates, previous = d_inputs[period::period, :, start:end], states[period - 1 : -1 : period, :, start:]
        gradient[start:end, start:] = updates.flatten(0, 1).T @ previous.flatten(0, 1)
    return gradient
