"""Padded: a batch of rows of unequal length, padded on the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Padded:
    """Rows of unequal length in one tensor; the package's only batch layout.

    Attributes
    ----------
    values: (B, T, ...)
        The padding may have any values.
    lengths: (B,) int64 on the CPU
        May be 0.
    """

    values: Tensor
    lengths: Tensor

    def mask(self) -> Tensor:
        """(B, T) booleans, True within each row's length."""
        steps = torch.arange(self.values.shape[1], device=self.values.device)
        return steps < self.lengths.to(self.values.device).unsqueeze(1)

    def with_values(self, values: Tensor) -> Padded:
        return Padded(values, self.lengths)

    @property
    def full(self) -> bool:
        """Whether no row is padded."""
        return bool((self.lengths == self.values.shape[1]).all())

    @staticmethod
    def of(rows: Sequence[Tensor]) -> Padded:
        """Rows (L_b, ...) padded with zeros."""
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        longest = int(lengths.max()) if len(rows) else 0
        shape = (len(rows), longest, *(rows[0].shape[1:] if len(rows) else ()))
        values = rows[0].new_zeros(shape) if len(rows) else torch.zeros(shape)
        for b, row in enumerate(rows):
            values[b, : len(row)] = row
        return Padded(values, lengths)
