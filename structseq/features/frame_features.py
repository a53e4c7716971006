"""Frames (such as those of recordings): checks, padding, mean and standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from structseq.data.example import Example
from structseq.errors import DataError
from structseq.section import Section, Whole


class FrameOptions(Section):
    """Preprocessing of frames before the encoder."""

    normalise: bool = Field(True, description="mean 0 and deviation 1 of each feature over the training frames")
    convolution: Whole = Field(0, ge=0, description="channels of a convolution over time; 0 turns it off")
    window: Whole = Field(5, ge=1, description="width of the convolution in steps")
    mask_time: Whole = Field(0, ge=0, description="longest stretch of steps masked in training; 0 turns it off")
    mask_features: Whole = Field(0, ge=0, description="widest band of features masked in training; 0 turns it off")


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """Sequences of frames, padded on the right with 0."""

    values: NDArray[np.float32]  # (B, T, F)
    lengths: NDArray[np.int64]  # (B,)


@dataclass(frozen=True, slots=True)
class FrameEncoder:
    """Turns examples made of frames into a `FrameBatch`; ``width`` is F."""

    width: int

    def encode(self, examples: Sequence[Example]) -> FrameBatch:
        """Raises `DataError` as `frames` does."""
        rows = [self.frames(example) for example in examples]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        values = np.zeros((len(rows), int(lengths.max(initial=0)), self.width), np.float32)
        for b, row in enumerate(rows):
            values[b, : len(row)] = row
        return FrameBatch(values, lengths)

    def frames(self, example: Example) -> NDArray[np.float32]:
        """(L, F) float32; raises `DataError` for tokens, another shape or F, and values that are not finite."""
        where = f" at {example.source}" if example.source else ""
        try:
            with np.errstate(over="ignore"):  # infinities are found below
                frames = np.asarray(example.frames, np.float32)
        except (TypeError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"expected frames (L, F) of numbers{where}, found {error}") from None
        if frames.ndim != 2:
            raise DataError(f"expected frames (L, F){where}, found an array of {frames.ndim} dimensions")
        if frames.shape[1] != self.width:
            message = f"expected frames of {self.width} numbers{where}, found {frames.shape[1]}"
            raise DataError(f"{message}; make them like the training frames (data.audio)")
        if not np.isfinite(frames).all():
            step, feature = np.argwhere(~np.isfinite(frames))[0].tolist()
            found = f"{frames[step, feature]} as number {feature} of frame {step}"
            raise DataError(f"expected finite numbers{where}, found {found} (both from 0); correct or remove the frame")
        return frames


class FeatureStats(NamedTuple):
    """Mean and standard deviation of F features, (F,) float64; constant features have deviation 1."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @staticmethod
    def of(sequences: Sequence[NDArray[np.float32]], width: int) -> FeatureStats:
        """Over all frames (L, ``width``); mean 0 and deviation 1 without frames.

        >>> FeatureStats.of([np.array([[1.0, 5.0]]), np.array([[3.0, 5.0]])], 2)
        FeatureStats(mean=array([2., 5.]), deviation=array([1., 1.]))
        """
        count = sum(map(len, sequences))
        if not count:
            return FeatureStats(np.zeros(width), np.ones(width))
        mean = sum((each.sum(0, dtype=np.float64) for each in sequences), np.zeros(width)) / count
        squares = sum((np.square(each - mean).sum(0) for each in sequences), np.zeros(width))
        deviation = np.sqrt(squares / count)
        deviation[deviation <= 1e-6 * np.abs(mean)] = 1.0  # smaller deviations are float32 rounding
        return FeatureStats(mean, deviation)
