"""Words to integers: numbers in a vocabulary, characters, word shape and affixes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from pydantic import Field

from structseq.data.vocabulary import Vocabulary
from structseq.features.base import Feature, Numbers
from structseq.section import Count, Section, Whole


class EmbeddingOptions(Section):
    width: Whole = Field(100, ge=0, description="width of a word vector; 0 turns them off")
    min_count: Whole = Field(1, ge=1, description="rarer words share the vector of unknown words")
    lowercase: bool = Field(True, description="look words up in lower case; shape and characters keep the case")
    unknown_rate: float = Field(
        1.0, ge=0, description="a word seen n times is trained as unknown with probability rate / (rate + n)"
    )

    @property
    def on(self) -> bool:
        return bool(self.width)


class WordsOptions(EmbeddingOptions):
    """Word embeddings."""

    vectors: str | None = Field(None, description="pretrained vectors in word2vec or GloVe text format, plain or gzip")
    tune_vectors: bool = Field(False, description="let training change the pretrained vectors")


class CharactersOptions(Section):
    """A convolution over the characters of a word."""

    width: Whole = Field(50, ge=0, description="width of the word vector made from characters; 0 turns it off")
    embedding: Whole = Field(30, ge=1, description="width of a character vector")
    windows: tuple[Count, ...] = Field(
        (3,), min_length=1, description="window widths of the convolution, in characters"
    )
    longest: Whole = Field(40, ge=4, description="longer words keep only their first and last characters")

    @property
    def on(self) -> bool:
        return bool(self.width)


class AffixOptions(Section):
    """Word shape, prefixes and suffixes."""

    shape: Whole = Field(20, ge=0, description="width of the word-shape vector; 0 turns it off")
    width: Whole = Field(20, ge=0, description="width of each affix vector; 0 turns them off")
    prefixes: tuple[Count, ...] = Field((2, 3), description="prefix lengths")
    suffixes: tuple[Count, ...] = Field((1, 2, 3), description="suffix lengths")
    min_count: Whole = Field(2, ge=1, description="affixes of fewer distinct words share one vector")

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths of prefixes, and of suffixes as negative numbers."""
        return (*self.prefixes, *(-length for length in self.suffixes))

    @property
    def on(self) -> bool:
        return bool(self.shape or (self.width and self.lengths))


class OwnFeatureOptions(Section):
    """The built-in word features; a width of 0 turns one off."""

    words: WordsOptions = WordsOptions()
    characters: CharactersOptions = CharactersOptions()
    affixes: AffixOptions = AffixOptions()


class Words(Feature):
    """(D,) numbers in ``vocabulary``, the open vocabulary of frequent words."""

    def __init__(self, options: EmbeddingOptions, vocabularies: Mapping[str, Vocabulary]) -> None:
        self.lowercase = options.lowercase
        words, counted = vocabularies["words"], Counter[str]()
        for word, count in zip(self._folded(words.items), words.counts, strict=True):
            counted[word] += count
        self.vocabulary = Vocabulary.count(counted, min_count=options.min_count)

    def _folded(self, words: Sequence[str]) -> Sequence[str]:
        return [word.lower() for word in words] if self.lowercase else words

    def index(self, words: Sequence[str]) -> Numbers:
        return np.array(self.vocabulary.numbers(self._folded(words)), np.int64)


class Characters(Feature):
    """(D, 1+C): each word's length in characters, then its characters' numbers, padded with 0.

    Number 1 is the unknown character. A word longer than ``longest`` keeps its first and last ``longest // 2``
    characters.
    """

    def __init__(self, options: CharactersOptions, vocabularies: Mapping[str, Vocabulary]) -> None:
        self.vocabulary, self.longest = vocabularies["characters"], options.longest

    @classmethod
    def count(cls, options: CharactersOptions, words: Vocabulary) -> dict[str, Vocabulary]:
        return {"characters": Vocabulary.count(Counter(c for word in words for c in word))}

    def index(self, words: Sequence[str]) -> Numbers:
        half = self.longest // 2
        kept = [word if len(word) <= self.longest else word[:half] + word[-half:] for word in words]
        lengths = np.fromiter(map(len, kept), np.int64, len(kept))
        table = np.zeros((len(kept), 1 + int(lengths.max(initial=0))), np.int64)
        table[:, 0] = lengths
        flat = np.array(self.vocabulary.numbers("".join(kept)), np.int64) + 1
        table[:, 1:][np.arange(table.shape[1] - 1) < lengths[:, None]] = flat
        return table


class Affixes(Feature):
    """(D, 1+A): the number of each word's shape, then those of its A affixes in lower case.

    Affixes are written ``"3:pre"`` and ``"-3:suf"``; a short word is its own affix. A is 0 if affixes are turned off.
    """

    def __init__(self, options: AffixOptions, vocabularies: Mapping[str, Vocabulary]) -> None:
        self.shapes, self.affixes = vocabularies["shapes"], vocabularies["affixes"]
        self.lengths = options.lengths if options.width else ()

    @classmethod
    def count(cls, options: AffixOptions, words: Vocabulary) -> dict[str, Vocabulary]:
        """Shapes and affixes of at least ``min_count`` distinct words."""
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
    """The word with X for upper case, x for other letters, d for digits; at most two equal characters in a row.

    >>> word_shape("McDonald's"), word_shape("1,000"), word_shape("TAIPEI")
    ("XxXxx'x", 'd,dd', 'XX')
    """
    shape = [
        "X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c
        for c in (word if len(word) <= 64 else word[:32] + word[-32:])
    ]
    return "".join(c for i, c in enumerate(shape) if i < 2 or not (c == shape[i - 1] == shape[i - 2]))


def _affixes(words: Sequence[str], lengths: Sequence[int]) -> Iterator[str]:
    for word in words:
        lowered = word.lower()
        for length in lengths:
            yield f"{length}:{lowered[:length] if length > 0 else lowered[length:]}"
