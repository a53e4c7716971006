"""Words -> the numbers of their characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from structseq.data.vocabulary import Vocabulary
from structseq.features.base import Feature, Numbers
from structseq.section import Count, Section, Whole


class CharactersOptions(Section):
    """A convolution over the characters of a word."""

    width: Whole = Field(50, ge=0, description="width of the word vector made from characters; 0 turns it off")
    embedding: Whole = Field(30, ge=1, description="width of a character vector")
    windows: tuple[Count, ...] = Field(
        (3,), min_length=1, description="window widths of the convolution, in characters"
    )
    longest: Whole = Field(40, ge=4, description="a longer word is seen by its first and last characters")

    @property
    def on(self) -> bool:
        return bool(self.width)


class Characters(Feature):
    """(D, 1+C): each word's length in characters, then its characters' numbers, 0 beyond.

    Number 1 is the unknown character. A word longer than ``longest`` is seen by its first and last ``longest // 2``
    characters.
    """

    def __init__(self, options: CharactersOptions, vocabularies: Mapping[str, Vocabulary]) -> None:
        self.vocabulary, self.longest = vocabularies["characters"], options.longest

    @classmethod
    def count(cls, options: CharactersOptions, words: Vocabulary) -> dict[str, Vocabulary]:
        return {"characters": Vocabulary.count(Counter(c for word in words for c in word))}

    def index(self, words: Sequence[str]) -> Numbers:
        half = self.longest // 2
        seen = [word if len(word) <= self.longest else word[:half] + word[-half:] for word in words]
        lengths = np.fromiter(map(len, seen), np.int64, len(seen))
        table = np.zeros((len(seen), 1 + int(lengths.max(initial=0))), np.int64)
        table[:, 0] = lengths
        flat = np.array(self.vocabulary.numbers("".join(seen)), np.int64) + 1
        table[:, 1:][np.arange(table.shape[1] - 1) < lengths[:, None]] = flat
        return table
