"""Words -> their numbers in a vocabulary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from structseq.data.vocabulary import Vocabulary
from structseq.features.base import Feature, Numbers
from structseq.section import Section, Whole


class EmbeddingOptions(Section):
    """Trained word embeddings."""

    width: Whole = Field(100, ge=0, description="width of a word vector; 0 turns them off")
    min_count: Whole = Field(1, ge=1, description="rarer words share the vector of the unknown")
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


class Words(Feature):
    """(D,) numbers in ``vocabulary``, the open vocabulary of frequent words; 0 for rarer words."""

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
