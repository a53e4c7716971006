"""Frames: sequences of numbers, as of recordings, normalised for the encoder (first slice; being written)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from structseq.data.example import Example
from structseq.dropout import LockedDropout
from structseq.padded import Padded


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """values (B, T, F) float32, lengths (B,)."""

    values: np.ndarray
    lengths: np.ndarray


class FrameInputs(nn.Module):
    """The twin of `Inputs` for frames."""

    def __init__(self, in_width: int, *, dropout: float = 0.0, **options: Any) -> None:
        super().__init__()
        self.in_width = self.width = in_width
        self.column_vocabularies: dict[str, Any] = {}
        self.dropout = LockedDropout(dropout)
        self.register_buffer("mean", torch.zeros(in_width))
        self.register_buffer("deviation", torch.ones(in_width))

    def measure(self, examples: Sequence[Example]) -> None:
        frames = np.concatenate([example.frames for example in examples])
        self.get_buffer("mean").copy_(torch.from_numpy(frames.mean(0)))
        self.get_buffer("deviation").copy_(torch.from_numpy(frames.std(0)).clamp(min=1e-6))

    def encode(self, examples: Sequence[Example]) -> FrameBatch:
        lengths = np.array([len(example) for example in examples], np.int64)
        values = np.zeros((len(examples), int(lengths.max(initial=0)), self.in_width), np.float32)
        for row, example in zip(values, examples, strict=True):
            row[: len(example)] = example.frames
        return FrameBatch(values, lengths)

    def word_table(self) -> None:
        return None

    def forward(self, batch: FrameBatch, table: Tensor | None = None) -> Padded:
        mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
        values = (torch.from_numpy(batch.values).to(mean.device) - mean) / deviation
        return self.dropout(Padded(values, torch.from_numpy(batch.lengths)))
