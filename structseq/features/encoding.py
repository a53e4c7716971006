"""Sentences -> the numbers of their words and further columns, padded to one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from structseq.data.example import Example
from structseq.data.vocabulary import Vocabulary
from structseq.errors import DataError
from structseq.features.base import Numbers

# How the vocabulary of a further column is named: column.NAME
COLUMN = "column."


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Sentences as numbers, padded on the right with 0.

    Attributes
    ----------
    ids: (B, T) int64
        Number of each token's word: below V a known word, from V on ``oov_words[id - V]``.
    oov_words:
        The distinct words of this batch that training never saw (out of vocabulary).
    columns:
        (B, T) int64 for each further input column.
    lengths: (B,) int64
    """

    ids: Numbers
    oov_words: tuple[str, ...]
    columns: Mapping[str, Numbers]
    lengths: Numbers


@dataclass(frozen=True, slots=True)
class TokenEncoder:
    """Turns sentences into a `TokenBatch`.

    Parameters
    ----------
    words:
        Each distinct word of the training data.
    columns:
        Open vocabularies of further input columns (part of speech, gazetteer flags) by name.
    """

    words: Vocabulary
    columns: Mapping[str, Vocabulary] = field(default_factory=dict)

    @staticmethod
    def of(vocabularies: Mapping[str, Vocabulary]) -> TokenEncoder:
        """That of a model."""
        columns = {n.removeprefix(COLUMN): known for n, known in vocabularies.items() if n.startswith(COLUMN)}
        return TokenEncoder(vocabularies["words"], columns)

    def encode(self, examples: Sequence[Example]) -> TokenBatch:
        """Numbers of a batch of examples; raises `DataError` where an input column is missing."""
        columns = {name: [column_of(example, name) for example in examples] for name in self.columns}
        return self.encode_tokens([example.tokens for example in examples], columns)

    def encode_tokens(
        self, sentences: Sequence[Sequence[str]], columns: Mapping[str, Sequence[Sequence[str]]] | None = None
    ) -> TokenBatch:
        """The same for bare lists of tokens, with further columns by name."""
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        words = list(chain.from_iterable(sentences))
        numbers = np.array(self.words.numbers(words, unknown=-1), np.int64)
        oov_words: dict[str, int] = {}
        for place in np.flatnonzero(numbers < 0).tolist():
            numbers[place] = len(self.words) + oov_words.setdefault(words[place], len(oov_words))
        further = {}
        for name, vocabulary in self.columns.items():
            rows = (columns or {}).get(name)
            found = None if rows is None else [len(row) for row in rows]
            if rows is None or found != lengths.tolist():
                raise DataError(
                    f"expected an input column {name!r} with a value for each token, found {found or 'none'}"
                )
            further[name] = _pad(np.array(vocabulary.numbers(v for row in rows for v in row), np.int64), lengths)
        return TokenBatch(_pad(numbers, lengths), tuple(oov_words), further, lengths)


def column_of(example: Example, name: str) -> tuple[str, ...]:
    """The values of an input column; raises `DataError` where the example has none of that name."""
    try:
        return example.inputs[name]
    except KeyError:
        where = f" at {example.source}" if example.source else ""
        raise DataError(f"expected an input column {name!r}{where}, found {', '.join(example.inputs)}") from None


def _pad(flat: Numbers, lengths: Numbers) -> Numbers:
    """(B, T) from all rows laid end to end."""
    longest = int(lengths.max()) if len(lengths) else 0
    if len(flat) == len(lengths) * longest:
        return flat.reshape(len(lengths), longest)
    table = np.zeros((len(lengths), longest), np.int64)
    table[np.arange(longest) < lengths[:, None]] = flat
    return table
