"""Moments: mean and deviation of each feature of frames, by which they are normalised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Moments(NamedTuple):
    """Of each of F features.

    Attributes
    ----------
    mean, deviation: (F,) float64
        A feature that is always the same has deviation 1, so that it can be divided by.
    """

    mean: Floats
    deviation: Floats

    @staticmethod
    def of(sequences: Sequence[NDArray[np.float32]], width: int) -> Moments:
        """Over all frames (L, F) of all sequences, F being ``width``; mean 0 and deviation 1 where there are none.

        >>> Moments.of([np.array([[1.0, 5.0]]), np.array([[3.0, 5.0]])], 2)
        Moments(mean=array([2., 5.]), deviation=array([1., 1.]))
        """
        count = sum(map(len, sequences))
        if not count:
            return Moments(np.zeros(width), np.ones(width))
        mean = sum((each.sum(0, dtype=np.float64) for each in sequences), np.zeros(width)) / count
        squares = sum((np.square(each - mean).sum(0) for each in sequences), np.zeros(width))
        deviation = np.sqrt(squares / count)
        deviation[deviation <= 1e-6 * np.abs(mean)] = 1.0  # beneath the steps of float32 there is but rounding
        return Moments(mean, deviation)
