"""Strings: which digits follow one another, of which a fifth of the strings repeat one, and how long the gaps are."""

from __future__ import annotations

from collections.abc import Sequence

from splitmix import SplitMix64, digest

EVERY = 5
"""One string in so many has an immediate repeat."""


def repeats(seed: int, number: int) -> bool:
    """Whether the string of this number, from 0, has a repeat: exactly one of each five in a row, at random.

    >>> [sum(repeats(7, number) for number in range(first, first + 5)) for first in (0, 5, 10)]
    [1, 1, 1]
    """
    block, place = divmod(number, EVERY)
    return SplitMix64(digest(seed, "repeats", block)).below(EVERY) == place


def digits(random: SplitMix64, *, length: int, repeat: bool, among: Sequence[str] = "0123456789") -> list[str]:
    """A string of digits in which no digit follows itself, but at one place where `repeat` says so.

    >>> digits(SplitMix64(1), length=4, repeat=True)
    ['9', '3', '2', '2']
    """
    place = 1 + random.below(length - 1) if repeat else 0
    result = [among[random.below(len(among))]]
    for number in range(1, length):
        others = [digit for digit in among if digit != result[-1]]
        result.append(result[-1] if number == place else others[random.below(len(others))])
    return result


def gap(random: SplitMix64, low: float, high: float, rate: int) -> int:
    """A number of samples from `low` to `high` seconds, both included."""
    first, last = round(low * rate), round(high * rate)
    return first + random.below(last - first + 1)
