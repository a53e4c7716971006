"""Padded: a batch of rows of unequal length, padded on the right. The only batch layout in the package."""

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
        Row b is ``values[b, :lengths[b]]``; the padding may hold anything.
    lengths: (B,) int64 on the CPU
        True length L of each row; may be 0.
    """

    values: Tensor
    lengths: Tensor

    def mask(self) -> Tensor:
        """(B, T) booleans on the values' device, True within each row's length."""
        steps = torch.arange(self.values.shape[1], device=self.values.device)
        return steps < self.lengths.to(self.values.device).unsqueeze(1)

    def with_values(self, values: Tensor) -> Padded:
        """The same lengths with other values (B, T, ...)."""
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
