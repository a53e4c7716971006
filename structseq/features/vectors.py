"""Pretrained word vectors: reads the file, and turns words into rows of it."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from structseq.data.textfile import LONGEST_LINE, line_too_long, shown
from structseq.data.vocabulary import Vocabulary
from structseq.errors import DataError
from structseq.features.base import Feature, Numbers
from structseq.features.words import WordsOptions

Floats = NDArray[np.float32]

_COUNT = re.compile("[0-9]{1,18}")


class Vectors(Feature):
    """(D,) the number of each word, else of its lower case, else 0."""

    def __init__(self, options: WordsOptions, vocabularies: Mapping[str, Vocabulary]) -> None:
        self.vocabulary = vocabularies["vectors"]

    def index(self, words: Sequence[str]) -> Numbers:
        exact, lowered = (self.vocabulary.numbers(each) for each in (words, map(str.lower, words)))
        return np.array([n or m for n, m in zip(exact, lowered, strict=True)], np.int64)


def read_vectors(path: str | Path) -> tuple[list[str], Floats]:
    """Words and their vectors (V, width) from word2vec or GloVe text, plain or gzip.

    A first line of two integers is word2vec's header. A repeated word keeps its first vector. A word may contain
    spaces. Raises `DataError`, with file and line, if a row has too few numbers, one that is not finite, or more than
    `LONGEST_LINE` bytes.
    """
    path = Path(path)
    rows: dict[str, Floats] = {}
    width = 0
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE + 1), b""), start=1):
                if len(line) > LONGEST_LINE:
                    raise line_too_long(path, number, LONGEST_LINE)
                fields = line.decode("utf-8", "replace").rstrip("\r\n ").split(" ")
                if number == 1 and len(fields) == 2 and all(map(_COUNT.fullmatch, fields)):
                    width = int(fields[1])
                    continue
                width = width or len(fields) - 1
                vector = _floats(fields, width, path, number)
                rows.setdefault(" ".join(fields[:-width]), vector)
    except (OSError, EOFError, zlib.error) as problem:
        raise DataError(f"vectors cannot be read ({problem}); name a word2vec or GloVe text file", file=path) from None
    if not rows:
        raise DataError("expected word vectors, one word with its numbers a line, found none", file=path)
    return list(rows), np.stack(list(rows.values()))


def _floats(fields: list[str], width: int, path: Path, line: int) -> Floats:
    try:
        if width < 1 or len(fields) < width + 1:
            raise ValueError
        values = np.array(fields[-width:], np.float64)
        if not (np.abs(values) < np.finfo(np.float32).max).all():
            raise ValueError
        return values.astype(np.float32)
    except ValueError:
        expected = f"a word and {width} finite numbers" if width > 0 else "a word and its numbers"
        found = f"{len(fields)} fields that begin {shown(' '.join(fields[:4])[:60])!r}"
        raise DataError(
            f"expected {expected} separated by single spaces, found {found}", file=path, line=line
        ) from None
