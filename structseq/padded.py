"""Padded: the only batch layout in the house. Real content on the left, rows in the caller's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Padded:
    """Rows of unequal length in one tensor.

    Attributes
    ----------
    values: (B, T, ...)
        Row b is real in ``values[b, :lengths[b]]``; what lies beyond is anything and must never be read as content.
    lengths: (B,) int64 on the CPU
        True length L of each row; 0 is allowed. Kept on the CPU: the host decides on shapes.
    """

    values: Tensor
    lengths: Tensor

    def mask(self) -> Tensor:
        """(B, T) boolean on the values' device, True where real."""
        steps = torch.arange(self.values.shape[1], device=self.values.device)
        return steps < self.lengths.to(self.values.device).unsqueeze(1)

    def with_values(self, values: Tensor) -> Padded:
        """The same rows with other content, (B, T, ...)."""
        return Padded(values, self.lengths)

    @property
    def full(self) -> bool:
        """Whether no row is padded."""
        return bool((self.lengths == self.values.shape[1]).all())

    @staticmethod
    def of(rows: Sequence[Tensor]) -> Padded:
        """Rows of shape (L_b, ...) padded with zeros on the right."""
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        longest = int(lengths.max()) if len(rows) else 0
        shape = (len(rows), longest, *(rows[0].shape[1:] if len(rows) else ()))
        values = rows[0].new_zeros(shape) if len(rows) else torch.zeros(shape)
        for b, row in enumerate(rows):
            values[b, : len(row)] = row
        return Padded(values, lengths)
