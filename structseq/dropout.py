"""Fast dropout masks, and locked dropout."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from structseq.padded import Padded

_LEVELS = 1 << 16


def dropout_mask(shape: Sequence[int], rate: float, *, device: torch.device | None = None) -> Tensor:
    """A float32 mask of ``shape``: 0 with probability ``rate``, else 1 / (1 - ``rate``).

    It takes 16 random bits for each element (``rate`` is rounded to 1/65536), which is faster than
    `torch.nn.functional.dropout` on a CPU.
    """
    dropped = min(round(_LEVELS * rate), _LEVELS - 1)
    count = math.prod(shape)
    words = torch.empty(count // 4 + 1, dtype=torch.int64, device=device).random_(-(2**63), None)
    bits = words.view(torch.int16)[:count].view(tuple(shape))
    return (bits >= dropped - _LEVELS // 2).to(torch.float32).mul_(_LEVELS / (_LEVELS - dropped))


class LockedDropout(nn.Module):
    """Dropout with one mask for all steps of a row (Gal and Ghahramani 2016, section 4)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, states: Padded) -> Padded:
        if not self.training or self.rate == 0:
            return states
        values = states.values
        return states.with_values(
            values * dropout_mask((values.shape[0], 1, values.shape[2]), self.rate, device=values.device)
        )
