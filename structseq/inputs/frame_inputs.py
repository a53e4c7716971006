"""Frame inputs, with masks as in SpecAugment (Park et al. 2019, section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from structseq.data.example import FRAMES, Example
from structseq.data.vocabulary import Axis
from structseq.dropout import LockedDropout
from structseq.features.frame_features import FeatureStats, FrameBatch, FrameEncoder
from structseq.padded import Padded


class FrameInputs(nn.Module):
    """Input vectors from frames (B, T, F); F is ``in_width``.

    The convolution keeps the number of steps and ends in ReLU. In training, masks set one span of steps and one band of
    features of each row to 0.
    """

    modality = FRAMES
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        in_width: int,
        *,
        normalise: bool = True,
        convolution: int = 0,
        window: int = 5,
        dropout: float = 0.0,
        mask_time: int = 0,
        mask_features: int = 0,
    ) -> None:
        super().__init__()
        self.in_width, self.encoder = in_width, FrameEncoder(in_width)
        self.width = convolution or in_width
        self.column_vocabularies: dict[str, Any] = {}
        self.features: dict[str, Any] = {}
        self.normalise, self.mask_time, self.mask_features = normalise, mask_time, mask_features
        self.convolution = nn.Conv1d(in_width, convolution, window) if convolution else None
        self.dropout = LockedDropout(dropout)
        self.register_buffer("mean", torch.zeros(in_width))
        self.register_buffer("deviation", torch.ones(in_width))

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        return {}

    def prepare(self, examples: Sequence[Example]) -> None:
        """Compute mean and deviation of the frames; raises `DataError` as `encode` does."""
        if not self.normalise:
            return
        mean, deviation = FeatureStats.of([self.encoder.frames(example) for example in examples], self.in_width)
        self.mean.copy_(torch.from_numpy(mean))
        self.deviation.copy_(torch.from_numpy(deviation))

    def encode(self, examples: Sequence[Example]) -> FrameBatch:
        """Raises `DataError` as `FrameEncoder.frames` does."""
        return self.encoder.encode(examples)

    def word_table(self) -> None:
        """None: frames need no table."""

    def forward(self, batch: FrameBatch, table: None = None) -> Padded:
        """(B, T, width) input vectors."""
        frames = Padded(torch.from_numpy(batch.values).to(self.mean.device), torch.from_numpy(batch.lengths))
        if self.normalise:
            frames = frames.with_values((frames.values - self.mean) / self.deviation)
        if self.training and (self.mask_time or self.mask_features):
            frames = self._masked(frames)
        if self.convolution is not None:
            frames = self._convolved(frames, self.convolution)
        return self.dropout(frames)

    def _masked(self, frames: Padded) -> Padded:
        steps = _random_spans(frames.lengths, frames.values.shape[1], self.mask_time)  # (B, T)
        widths = torch.full_like(frames.lengths, self.in_width)
        band = _random_spans(widths, self.in_width, self.mask_features)  # (B, F)
        masked = steps.unsqueeze(2) | band.unsqueeze(1)
        return frames.with_values(frames.values.masked_fill(masked.to(frames.values.device), 0.0))

    def _convolved(self, frames: Padded, convolution: nn.Conv1d) -> Padded:
        """(B, T, F) -> (B, T, channels), with zero padding at both ends."""
        window = convolution.kernel_size[0]
        values = frames.values.masked_fill(~frames.mask().unsqueeze(2), 0.0).transpose(1, 2)  # (B, F, T)
        if not values.numel():
            return frames.with_values(values.new_zeros(values.shape[0], values.shape[2], self.width))
        values = nn.functional.pad(values, ((window - 1) // 2, window // 2))
        return frames.with_values(convolution(values).relu().transpose(1, 2))


def _random_spans(lengths: Tensor, columns: int, longest: int) -> Tensor:
    """(B, columns) True in one random span per row, 0 to ``longest`` long, within its length."""
    drawn = torch.rand(2, len(lengths), dtype=torch.float64)
    widths = (drawn[0] * (longest + 1)).long().minimum(lengths)
    starts = (drawn[1] * (lengths - widths + 1)).long()
    positions = torch.arange(columns)
    return (positions >= starts.unsqueeze(1)) & (positions < (starts + widths).unsqueeze(1))
