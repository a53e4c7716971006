"""Stream: SplitMix64's numbers many at a time, for noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from splitmix import SplitMix64


def stream(random: SplitMix64, length: int) -> npt.NDArray[np.uint64]:
    """The first `length` numbers of a generator whose seed is the next number of `random`.

    >>> after = SplitMix64(SplitMix64(1).next())
    >>> stream(SplitMix64(1), 3).tolist() == [after.next() for _ in range(3)]
    True
    """
    z = np.uint64(random.next()) + np.arange(1, length + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
