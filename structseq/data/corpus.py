"""Corpus: the examples to learn from, to choose by and to judge by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from structseq.data.example import Example
from structseq.data.formats import read
from structseq.data.textfile import Source


@dataclass(frozen=True, slots=True)
class Corpus:
    """Examples in three parts; ``dev`` and ``test`` may be empty."""

    train: tuple[Example, ...]
    dev: tuple[Example, ...] = ()
    test: tuple[Example, ...] = ()

    @staticmethod
    def read(
        train: Source, dev: Source | None = None, test: Source | None = None, *, format: str = "auto", **options: Any
    ) -> Corpus:
        """A corpus from files, each in a format that `formats.read` knows; ``options`` go to its reader."""
        parts = [() if part is None else tuple(read(part, format, **options)) for part in (train, dev, test)]
        return Corpus(*parts)
