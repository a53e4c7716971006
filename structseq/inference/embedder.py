"""Embedder: one vector for each sequence, from any trained model."""

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
    """Turns sequences into vectors: an autoencoder's bottleneck, a classifier's pooled states, else the mean of the
    encoder's states. See `Predictor` for loading and saving.

    Examples
    --------
    ::

        embedder = Embedder.load("segments")
        vectors = embedder.embed(frames_of_each_segment)  # (N, width)
    """

    look_ahead: ClassVar[int] = 1024

    @classmethod
    def _check(cls, model: Model) -> None:
        """Any model will do: it has states."""

    def embed(self, sequences: Iterable[Any], *, look_ahead: int = 1024) -> np.ndarray:
        """(N, width) float32 vectors of sequences, as `Preprocessor.example` takes them; raises `DataError`."""
        if isinstance(sequences, (str, bytes)):
            raise DataError("embed: expected sequences, found a text; use embed_text")
        vectors = list(self._sequences(sequences, "embed", look_ahead))
        return np.stack(vectors) if vectors else np.zeros((0, self.width), np.float32)

    def embed_text(self, text: str) -> np.ndarray:
        """(width,) the vector of a text, cut as the training data were."""
        return self.answer([self.preprocessor.text(text, "embed_text")])[0]

    def embed_audio(self, path: str | Path) -> np.ndarray:
        """(width,) the vector of a recording; raises `DataError` if the file is not a recording."""
        return self.answer([self.preprocessor.audio(path, "embed_audio")])[0]

    @property
    def width(self) -> int:
        """Width of the vectors."""
        return self.model.embedding_width

    def answer(self, examples: Sequence[Example], output: OutputOptions = DEFAULT_OUTPUT) -> list[np.ndarray]:
        return list(self.model.embed(examples, self._table))
