"""Embedder: one vector for each sequence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from structseq.data.example import Example
from structseq.errors import DataError
from structseq.inference.predictor import DEFAULT_OUTPUT, OutputOptions, Predictor
from structseq.model import Model


class Embedder(Predictor):
    """Turns sequences into vectors.

    The vector is an autoencoder's bottleneck, a classifier's pooled states, or for other models the mean of the
    encoder's states.
    """

    look_ahead: ClassVar[int] = 1024

    @classmethod
    def _check(cls, model: Model) -> None:
        """Every model has states."""

    def embed(self, sequences: Iterable[Any], *, look_ahead: int = 1024) -> np.ndarray:
        """(N, width) float32 vectors of token lists, frames (L, F) or `Example`; raises `DataError` for other input."""
        if isinstance(sequences, (str, bytes)):
            raise DataError("embed: expected sequences, found a text; use embed_text")
        vectors = list(self._sequences(sequences, "embed", look_ahead))
        return np.stack(vectors) if vectors else np.zeros((0, self.width), np.float32)

    def embed_text(self, text: str) -> np.ndarray:
        """(width,) vector of a text."""
        return self.answer([self.preprocessor.text(text, "embed_text")])[0]

    def embed_audio(self, path: str | Path) -> np.ndarray:
        """(width,) vector of a WAV file; raises `DataError` for other files."""
        return self.answer([self.preprocessor.audio(path, "embed_audio")])[0]

    @property
    def width(self) -> int:
        return self.model.embedding_width

    def answer(self, examples: Sequence[Example], output: OutputOptions = DEFAULT_OUTPUT) -> list[np.ndarray]:
        return list(self.model.embed(examples, self._table))
