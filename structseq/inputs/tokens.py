"""Word features: embeddings with trained unknowns, pretrained vectors, word shape and affixes."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from structseq.data.rows import Axis, open_rows
from structseq.data.vocabulary import Vocabulary
from structseq.errors import DataError
from structseq.inputs.base import WordFeature


class WordEmbedding(WordFeature):
    """A trained vector for each frequent word; in training, rare words stand in for the unknown.

    A word counted n times is replaced by the unknown with probability rate / (rate + n), drawn once a batch
    (Kiperwasser and Goldberg 2016, section 4.2), so that the unknown's vector is trained on what rare words do.

    Parameters
    ----------
    vocabulary:
        Open; its counts drive the replacement.
    lowercase:
        Whether words are looked up in lower case.
    """

    def __init__(
        self, vocabulary: Vocabulary, width: int, *, lowercase: bool = True, unknown_rate: float = 0.25
    ) -> None:
        super().__init__()
        self.vocabulary, self.width, self.lowercase = vocabulary, width, lowercase
        self.embedding = nn.Embedding(len(vocabulary), width)
        nn.init.uniform_(self.embedding.weight, -((3 / width) ** 0.5), (3 / width) ** 0.5)
        counts = torch.tensor((0, *vocabulary.counts), dtype=torch.float32)
        replaced = unknown_rate / (unknown_rate + counts) if unknown_rate else torch.zeros(len(counts))
        self.register_buffer("replaced", replaced, persistent=False)

    def index(self, words: Sequence[str]) -> Tensor:
        folded = (word.lower() for word in words) if self.lowercase else words
        return torch.tensor(self.vocabulary.numbers(folded), dtype=torch.int64)

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        return {"embedding.weight": [open_rows(self.vocabulary.items), None]}

    def forward(self, index: Tensor) -> Tensor:
        if self.training:
            drawn = torch.rand(index.shape, device=index.device) < self.get_buffer("replaced")[index]
            index = index.masked_fill(drawn, 0)
        return self.embedding(index)


class PretrainedVectors(WordFeature):
    """Vectors learned elsewhere, looked up as spelt, then in lower case; unseen words of the tagged text find theirs
    too.

    Parameters
    ----------
    vocabulary:
        Open; number 0, the unknown, has the zero vector.
    vectors: (V, width) float32 or None
        None leaves zeros, to be filled from a saved model.
    """

    def __init__(
        self, vocabulary: Vocabulary, width: int, vectors: Tensor | None = None, *, tune: bool = False
    ) -> None:
        super().__init__()
        self.vocabulary, self.width = vocabulary, width
        weights = torch.zeros(len(vocabulary), width) if vectors is None else vectors
        self.embedding = nn.Embedding.from_pretrained(weights, freeze=not tune)

    def index(self, words: Sequence[str]) -> Tensor:
        numbers = [n or m for n, m in zip(*self._both_cases(words), strict=True)]
        return torch.tensor(numbers, dtype=torch.int64)

    def _both_cases(self, words: Sequence[str]) -> tuple[list[int], list[int]]:
        return self.vocabulary.numbers(words), self.vocabulary.numbers(word.lower() for word in words)

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        return {"embedding.weight": [open_rows(self.vocabulary.items), None]}

    def forward(self, index: Tensor) -> Tensor:
        return self.embedding(index)


def read_vectors(path: str | Path) -> tuple[list[str], Tensor]:
    """Words and their vectors (V, width) from word2vec or GloVe text, plain or gzip.

    A first line of two integers is word2vec's header. A word given twice keeps its first vector. Vectors are scaled so
    that their mean square is 1/width, the scale of trained embeddings, whatever the source's was.

    Raises
    ------
    DataError
        A row with too few numbers, or a value that is no finite number; with file and line. What stands before the last
        ``width`` fields is the word, spaces and all.
    """
    path = Path(path)
    rows: dict[str, np.ndarray] = {}
    width = 0
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                fields = line.decode("utf-8", "replace").rstrip("\r\n ").split(" ")
                if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
                    width = int(fields[1])
                    continue
                width = width or len(fields) - 1
                vector = _floats(fields, width, path, number)
                rows.setdefault(" ".join(fields[:-width]), vector)
    except (OSError, EOFError, zlib.error) as problem:
        raise DataError(f"vectors cannot be read ({problem}); name a word2vec or GloVe text file", file=path) from None
    if not rows:
        raise DataError("expected word vectors, one word with its numbers a line, found none", file=path)
    table = torch.from_numpy(np.stack(list(rows.values())))
    scale = table.square().mean().sqrt().clamp(min=1e-8) * width**0.5
    return list(rows), table / scale


def _floats(fields: list[str], width: int, path: Path, line: int) -> np.ndarray:
    try:
        if width < 1 or len(fields) < width + 1:
            raise ValueError
        values = np.array(fields[-width:], np.float64)
        if not (np.abs(values) < np.finfo(np.float32).max).all():
            raise ValueError
        return values.astype(np.float32)
    except ValueError:
        expected = f"a word and {width} finite numbers" if width > 0 else "a word and its numbers"
        found = f"{len(fields)} fields that begin {' '.join(fields[:4])[:60]!r}"
        raise DataError(
            f"expected {expected} separated by single spaces, found {found}", file=path, line=line
        ) from None


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


class Affixes(WordFeature):
    """Embeddings of a word's shape, and of its first and last characters in lower case.

    Parameters
    ----------
    shapes:
        Open vocabulary of shapes; its width 0 turns shapes off.
    affixes:
        Open vocabulary of affixes written ``"3:pre"`` for prefixes and ``"-3:suf"`` for suffixes.
    lengths:
        Affix lengths, negative for suffixes; a word no longer than an affix bears it whole.
    """

    def __init__(
        self, shapes: Vocabulary, affixes: Vocabulary, lengths: Sequence[int], *, shape_width: int = 10, width: int = 10
    ) -> None:
        super().__init__()
        self.shapes, self.affixes, self.lengths = shapes, affixes, tuple(lengths) if width else ()
        self.width = shape_width + width * len(self.lengths)
        self.shape_embedding = nn.Embedding(len(shapes), shape_width) if shape_width else None
        self.affix_embedding = nn.Embedding(len(affixes), width) if self.lengths else None

    @staticmethod
    def vocabularies(words: Iterable[str], lengths: Sequence[int], *, min_count: int) -> tuple[Vocabulary, Vocabulary]:
        """Shapes and affixes borne by at least ``min_count`` distinct words."""
        words = list(words)
        shapes = Counter(word_shape(word) for word in words)
        affixes = Counter(key for word in words for key in _affix_keys(word, lengths))
        return Vocabulary.count(shapes, min_count=min_count), Vocabulary.count(affixes, min_count=min_count)

    def index(self, words: Sequence[str]) -> Tensor:
        keys = (key for word in words for key in _affix_keys(word, self.lengths))
        affixes = torch.tensor(self.affixes.numbers(keys), dtype=torch.int64).view(len(words), len(self.lengths))
        shapes = torch.tensor(self.shapes.numbers(word_shape(word) for word in words), dtype=torch.int64)
        return torch.cat([shapes.unsqueeze(1), affixes], 1)

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        tables = (("shape_embedding", self.shapes), ("affix_embedding", self.affixes))
        return {f"{name}.weight": [open_rows(known.items), None] for name, known in tables}

    def forward(self, index: Tensor) -> Tensor:
        parts = []
        if self.shape_embedding is not None:
            parts.append(self.shape_embedding(index[:, 0]))
        if self.affix_embedding is not None:
            parts.append(self.affix_embedding(index[:, 1:]).flatten(1))
        return torch.cat(parts, -1) if parts else index.new_zeros(len(index), 0, dtype=torch.float32)


def _affix_keys(word: str, lengths: Sequence[int]) -> list[str]:
    folded = word.lower()
    return [f"{n}:{folded[:n] if n > 0 else folded[n:]}" for n in lengths]
