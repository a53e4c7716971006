"""Vocabulary: an immutable numbering of strings; open (unknown strings get number 0) or closed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from structseq.errors import DataError

Axis = Sequence[Any] | None
"""The names of the entries along one axis of a parameter; None if the axis only needs the same length."""


class Vocabulary:
    """Distinct strings, ``items``, numbered in order from 0 (from 1 if open), with their counts (0 by default).

    >>> words = Vocabulary(["to", "Taipei"], open=True)
    >>> words["Taipei"], words["Kaohsiung"], len(words)
    (2, 0, 3)
    """

    def __init__(self, items: Iterable[str], counts: Iterable[int] | None = None, *, open: bool = False) -> None:
        self.items = tuple(items)
        self.counts = tuple(counts) if counts is not None else (0,) * len(self.items)
        self.open = open
        self._number = {item: number for number, item in enumerate(self.items, start=int(open))}
        if len(self._number) != len(self.items) or len(self.counts) != len(self.items):
            raise DataError(
                "expected distinct strings with one count each, found a repeated string or a wrong number of counts"
            )

    @staticmethod
    def count(strings: Iterable[str] | Mapping[str, int], *, min_count: int = 1, open: bool = True) -> Vocabulary:
        """The strings counted at least ``min_count`` times, the most frequent first, ties in code-point order."""
        kept = [(s, n) for s, n in Counter(strings).items() if n >= min_count]
        kept.sort(key=lambda pair: (-pair[1], pair[0]))
        return Vocabulary([s for s, _ in kept], [n for _, n in kept], open=open)

    def __getitem__(self, item: str) -> int:
        """Raises `DataError` if a closed vocabulary does not have ``item``."""
        number = self._number.get(item, 0 if self.open else None)
        if number is None:
            raise DataError(f"expected one of {len(self)} known strings, found {item!r}")
        return number

    def numbers(self, items: Iterable[str], *, unknown: int = 0) -> list[int]:
        """The number of each item; ``unknown`` for items that the vocabulary does not have."""
        get = self._number.get
        return [get(item, unknown) for item in items]

    def __contains__(self, item: object) -> bool:
        return item in self._number

    def __len__(self) -> int:
        return len(self.items) + int(self.open)

    def __iter__(self) -> Iterator[str]:
        return iter(self.items)

    def __eq__(self, other: object) -> bool:
        key = (self.items, self.counts, self.open)
        return isinstance(other, Vocabulary) and key == (other.items, other.counts, other.open)

    def __hash__(self) -> int:
        return hash((self.items, self.open))


def axis_names(items: Iterable[str]) -> list[tuple[str, ...]]:
    """The names of an axis with ``items`` from number 1, by which weights are copied between models.

    Number 0 (unknown, blank or end) is ``()``; an item is ``(item,)``.
    """
    return [(), *((item,) for item in items)]
