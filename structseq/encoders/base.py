"""Encoder: (B, T, F) -> (B, T', H); and how encoders are made bidirectional and deep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from structseq.padded import Padded


class Encoder(nn.Module, ABC):
    """Turns a sequence of inputs into a sequence of states.

    A row's states depend on that row alone: not on its neighbours in the batch, and not on what lies in its padding.

    Attributes
    ----------
    in_width, width:
        F and H.
    """

    in_width: int
    width: int

    @abstractmethod
    def forward(self, inputs: Padded) -> Padded:
        """States (B, T', H) with their own lengths, for inputs (B, T, F)."""


class Bidirectional(Encoder):
    """Two encoders of one kind, the second reading each row from its own end; states side by side (Schuster and Paliwal 1997)."""

    def __init__(self, forwards: Encoder, backwards: Encoder) -> None:
        super().__init__()
        self.in_width, self.width = forwards.in_width, forwards.width + backwards.width
        self.forwards, self.backwards = forwards, backwards

    def forward(self, inputs: Padded) -> Padded:
        there = self.forwards(inputs)
        back = reverse(self.backwards(reverse(inputs)))
        return there.with_values(torch.cat([there.values, back.values], -1))


class Stack(Encoder):
    """Encoders one on top of another, with locked dropout on each one's output."""

    def __init__(self, layers: Sequence[Encoder], dropout: nn.Module) -> None:
        super().__init__()
        self.in_width, self.width = layers[0].in_width, layers[-1].width
        self.layers = nn.ModuleList(layers)
        self.dropout = dropout

    def forward(self, inputs: Padded) -> Padded:
        for layer in self.layers:
            inputs = self.dropout(layer(inputs))
        return inputs


def reverse(states: Padded) -> Padded:
    """Each row's real steps in reverse order; padding stays where it is. (B, T, H) -> (B, T, H)."""
    if states.full:
        return states.with_values(states.values.flip(1))
    return states.with_values(states.values.gather(1, _mirror(states).unsqueeze(-1).expand_as(states.values)))


def _mirror(states: Padded) -> Tensor:
    """(B, T) where each step of the reversed row comes from."""
    lengths = states.lengths.to(states.values.device).unsqueeze(1)
    steps = torch.arange(states.values.shape[1], device=states.values.device).unsqueeze(0)
    return torch.where(steps < lengths, lengths - 1 - steps, steps)
