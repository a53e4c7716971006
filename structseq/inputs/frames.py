"""Frames: steps that are numbers already, as of recordings, made ready for the encoder: normalised, masked in training
(Park et al. 2019, SpecAugment, section 2), seen through a convolution over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from structseq.data.example import FRAMES, Example
from structseq.data.vocabulary import Axis
from structseq.dropout import LockedDropout
from structseq.features.frames import FeatureStats, FrameBatch, FrameEncoder
from structseq.padded import Padded


class FrameInputs(nn.Module):
    """The twin of `structseq.inputs.base.Inputs` for examples that are made of frames.

    Parameters
    ----------
    in_width:
        Numbers in a frame, F.
    normalise:
        Bring each number to mean 0 and deviation 1 over the training frames, which `prepare` counts; both are stored
        with the model.
    convolution:
        Channels of a convolution over time, with rectified outputs and as many steps as before; 0: none.
    window:
        Steps that the convolution sees at once.
    dropout:
        Locked dropout (Gal and Ghahramani 2016): one mask for all steps of a row.
    mask_time, mask_features:
        In training, one stretch of up to so many steps, and one band of up to so many features, of each row is 0.
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
        """Numbers have no names."""
        return {}

    def prepare(self, examples: Sequence[Example]) -> None:
        """Count mean and deviation over the frames of the training data; a number that is always the same keeps 1.

        Raises `DataError` as `encode` does.
        """
        if not self.normalise:
            return
        mean, deviation = FeatureStats.of([self.encoder.frames(example) for example in examples], self.in_width)
        self.mean.copy_(torch.from_numpy(mean))
        self.deviation.copy_(torch.from_numpy(deviation))

    def encode(self, examples: Sequence[Example]) -> FrameBatch:
        """Numbers for a batch of examples; raises `DataError` as `FrameEncoder.frames` does."""
        return self.encoder.encode(examples)

    def word_table(self) -> None:
        """There are no words to look up."""

    def forward(self, batch: FrameBatch, table: None = None) -> Padded:
        """(B, T, width) input vectors; ``table`` is that of `word_table`, as for tokens."""
        frames = Padded(torch.from_numpy(batch.values).to(self.mean.device), torch.from_numpy(batch.lengths))
        if self.normalise:
            frames = frames.with_values((frames.values - self.mean) / self.deviation)
        if self.training and (self.mask_time or self.mask_features):
            frames = self._masked(frames)
        if self.convolution is not None:
            frames = self._convolved(frames, self.convolution)
        return self.dropout(frames)

    def _masked(self, frames: Padded) -> Padded:
        steps = _stretches(frames.lengths, frames.values.shape[1], self.mask_time)  # (B, T)
        widths = torch.full_like(frames.lengths, self.in_width)
        band = _stretches(widths, self.in_width, self.mask_features)  # (B, F)
        masked = steps.unsqueeze(2) | band.unsqueeze(1)
        return frames.with_values(frames.values.masked_fill(masked.to(frames.values.device), 0.0))

    def _convolved(self, frames: Padded, convolution: nn.Conv1d) -> Padded:
        """(B, T, F) -> (B, T, channels): beyond its ends each row is 0, however far it is padded."""
        window = convolution.kernel_size[0]
        values = frames.values.masked_fill(~frames.mask().unsqueeze(2), 0.0).transpose(1, 2)  # (B, F, T)
        if not values.numel():
            return frames.with_values(values.new_zeros(values.shape[0], values.shape[2], self.width))
        values = nn.functional.pad(values, ((window - 1) // 2, window // 2))
        return frames.with_values(convolution(values).relu().transpose(1, 2))


def _stretches(lengths: Tensor, columns: int, longest: int) -> Tensor:
    """(B, columns) True on one stretch of each row, 0 to ``longest`` long, anywhere within the row's length."""
    drawn = torch.rand(2, len(lengths), dtype=torch.float64)
    widths = (drawn[0] * (longest + 1)).long().minimum(lengths)
    starts = (drawn[1] * (lengths - widths + 1)).long()
    places = torch.arange(columns)
    return (places >= starts.unsqueeze(1)) & (places < (starts + widths).unsqueeze(1))
