"""Words -> the numbers of their shape, prefixes and suffixes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from pydantic import Field

from structseq.data.vocabulary import Vocabulary
from structseq.features.base import Feature, Numbers
from structseq.section import Count, Section, Whole


class AffixOptions(Section):
    """Word shape, prefixes and suffixes."""

    shape: Whole = Field(20, ge=0, description="width of the word-shape vector; 0 turns it off")
    width: Whole = Field(20, ge=0, description="width of each affix vector; 0 turns them off")
    prefixes: tuple[Count, ...] = Field((2, 3), description="prefix lengths")
    suffixes: tuple[Count, ...] = Field((1, 2, 3), description="suffix lengths")
    min_count: Whole = Field(2, ge=1, description="affixes borne by fewer distinct words share one vector")

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths of prefixes, and of suffixes as negative numbers."""
        return (*self.prefixes, *(-length for length in self.suffixes))

    @property
    def on(self) -> bool:
        return bool(self.shape or (self.width and self.lengths))


class Affixes(Feature):
    """(D, 1+A): the number of each word's shape, then those of its A affixes in lower case.

    Affixes are written ``"3:pre"`` for prefixes and ``"-3:suf"`` for suffixes. A word no longer than an affix has
    itself as affix. A is 0 where affixes are turned off.
    """

    def __init__(self, options: AffixOptions, vocabularies: Mapping[str, Vocabulary]) -> None:
        self.shapes, self.affixes = vocabularies["shapes"], vocabularies["affixes"]
        self.lengths = options.lengths if options.width else ()

    @classmethod
    def count(cls, options: AffixOptions, words: Vocabulary) -> dict[str, Vocabulary]:
        """Shapes and affixes that at least ``min_count`` distinct words have."""
        shapes, affixes = Counter(map(word_shape, words)), Counter(_affixes(words.items, options.lengths))
        found = {"shapes": shapes, "affixes": affixes}
        return {name: Vocabulary.count(counted, min_count=options.min_count) for name, counted in found.items()}

    def index(self, words: Sequence[str]) -> Numbers:
        table = np.empty((len(words), 1 + len(self.lengths)), np.int64)
        table[:, 0] = self.shapes.numbers(map(word_shape, words))
        numbers = np.array(self.affixes.numbers(_affixes(words, self.lengths)), np.int64)
        table[:, 1:] = numbers.reshape(len(words), len(self.lengths))
        return table


def word_shape(word: str) -> str:
    """The word's shape: upper case X, other letters x, digits d, the rest as it stands; runs beyond two are cut to two.

    >>> word_shape("McDonald's"), word_shape("1,000"), word_shape("TAIPEI")
    ("XxXxx'x", 'd,dd', 'XX')
    """
    shape = [
        "X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c
        for c in (word if len(word) <= 64 else word[:32] + word[-32:])
    ]
    return "".join(c for i, c in enumerate(shape) if i < 2 or not (c == shape[i - 1] == shape[i - 2]))


def _affixes(words: Sequence[str], lengths: Sequence[int]) -> Iterator[str]:
    """The affixes of each word, word by word."""
    for word in words:
        folded = word.lower()
        for length in lengths:
            yield f"{length}:{folded[:length] if length > 0 else folded[length:]}"
