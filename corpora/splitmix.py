"""SplitMix64: a small random generator whose numbers are the same on every Python (Steele, Lea & Flood, OOPSLA 2014).

Python's own `random.choice` and `random.shuffle` may change their algorithms between versions; these lines will not.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")
MASK = (1 << 64) - 1


def digest(*parts: object) -> int:
    """A 64-bit number that depends on the parts alone: the first eight bytes of SHA-256 over their text."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big")


class SplitMix64:
    """A stream of random numbers, decided by `seed`.

    >>> SplitMix64(1234567).next()
    6457827717110365317
    """

    def __init__(self, seed: int) -> None:
        self.state = seed & MASK

    def next(self) -> int:
        """The next integer in [0, 2**64)."""
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, bound: int) -> int:
        """An integer in [0, bound), without bias: numbers from the incomplete last block are thrown away."""
        limit = (1 << 64) - (1 << 64) % bound
        while True:
            number = self.next()
            if number < limit:
                return number % bound

    def chance(self, percent: int) -> bool:
        """True `percent` times in a hundred."""
        return self.below(100) < percent

    def weighted(self, items: Sequence[Item], totals: Sequence[int]) -> Item:
        """One item, drawn in proportion to whole-number weights; `totals` are their running sums."""
        return items[bisect_right(totals, self.below(totals[-1]))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """A copy in random order (Fisher and Yates)."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            other = self.below(last + 1)
            result[last], result[other] = result[other], result[last]
        return result
