"""Sentences to numbers: vocabularies counted on the training data, and padded batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np

from structseq.data.example import FRAMES, Example, modality_of
from structseq.data.vocabulary import Vocabulary
from structseq.errors import DataError
from structseq.features.base import Feature, Numbers
from structseq.features.vectors import Floats, Vectors, read_vectors
from structseq.features.words import Affixes, Characters, OwnFeatureOptions, Words

# Vocabularies of further columns are named column.NAME
COLUMN = "column."


class CorpusCounts(NamedTuple):
    """Counts of the training data for `structseq.model.Model`."""

    vocabularies: dict[str, Vocabulary]
    widths: dict[str, int]
    vectors: Floats | None = None  # (V, width) the pretrained vectors of the file, unchanged


def count_vocabularies(
    options: OwnFeatureOptions, columns: Iterable[str], examples: Sequence[Example], known: Vocabulary | None = None
) -> CorpusCounts:
    """Counts the vocabularies of the built-in features and of ``columns``, with ``known`` words added."""
    if modality_of(examples) is FRAMES:
        return CorpusCounts({}, {"frames": examples[0].frames.shape[1]})
    counted = Counter(word for example in examples for word in example.tokens)
    counted.update(dict(zip(known.items, known.counts, strict=True)) if known is not None else {})
    words = Vocabulary.count(counted, open=False)
    vocabularies = {
        "words": words,
        **Characters.count(options.characters, words),
        **Affixes.count(options.affixes, words),
    }
    for name in columns:
        vocabularies[COLUMN + name] = Vocabulary.count(Counter(v for e in examples for v in column_of(e, name)))
    if not options.words.vectors:
        return CorpusCounts(vocabularies, {})
    listed, table = read_vectors(options.words.vectors)
    vocabularies["vectors"] = Vocabulary(listed, open=True)
    return CorpusCounts(vocabularies, {"vectors": table.shape[1]}, table)


def build_features(options: OwnFeatureOptions, vocabularies: Mapping[str, Vocabulary]) -> dict[str, Feature]:
    """The built-in features, by name, in the order of their vectors."""
    found: dict[str, Feature] = {}
    if options.words.on:
        found["words"] = Words(options.words, vocabularies)
    if "vectors" in vocabularies:
        found["vectors"] = Vectors(options.words, vocabularies)
    if options.characters.on:
        found["characters"] = Characters(options.characters, vocabularies)
    if options.affixes.on:
        found["affixes"] = Affixes(options.affixes, vocabularies)
    return found


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Sentences as int64 numbers, padded on the right with 0."""

    ids: Numbers  # (B, T); below V a known word, from V on the word oov_words[id - V]
    oov_words: tuple[str, ...]  # distinct out-of-vocabulary words of the batch
    columns: Mapping[str, Numbers]  # (B, T) for each further input column
    lengths: Numbers  # (B,)


@dataclass(frozen=True, slots=True)
class TokenEncoder:
    words: Vocabulary  # each distinct word of the training data
    columns: Mapping[str, Vocabulary] = field(default_factory=dict)  # open, of further input columns, by name

    @staticmethod
    def of(vocabularies: Mapping[str, Vocabulary]) -> TokenEncoder:
        columns = {n.removeprefix(COLUMN): known for n, known in vocabularies.items() if n.startswith(COLUMN)}
        return TokenEncoder(vocabularies["words"], columns)

    def encode(self, examples: Sequence[Example]) -> TokenBatch:
        """Raises `DataError` if an input column is missing."""
        columns = {name: [column_of(example, name) for example in examples] for name in self.columns}
        return self.encode_tokens([example.tokens for example in examples], columns)

    def encode_tokens(
        self, sentences: Sequence[Sequence[str]], columns: Mapping[str, Sequence[Sequence[str]]] | None = None
    ) -> TokenBatch:
        """As `encode`, from token lists and further columns by name."""
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        words = list(chain.from_iterable(sentences))
        numbers = np.array(self.words.numbers(words, unknown=-1), np.int64)
        oov_words: dict[str, int] = {}
        for position in np.flatnonzero(numbers < 0).tolist():
            numbers[position] = len(self.words) + oov_words.setdefault(words[position], len(oov_words))
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
    """Raises `DataError` if the example does not have the input column."""
    try:
        return example.inputs[name]
    except KeyError:
        where = f" at {example.source}" if example.source else ""
        raise DataError(f"expected an input column {name!r}{where}, found {', '.join(example.inputs)}") from None


def _pad(flat: Numbers, lengths: Numbers) -> Numbers:
    """(B, T) from the concatenated rows."""
    longest = int(lengths.max()) if len(lengths) else 0
    if len(flat) == len(lengths) * longest:
        return flat.reshape(len(lengths), longest)
    table = np.zeros((len(lengths), longest), np.int64)
    table[np.arange(longest) < lengths[:, None]] = flat
    return table
