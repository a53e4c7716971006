"""Embedder: one vector for each sequence, from any trained model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from structseq.errors import DataError
from structseq.model import Model
from structseq.tagger.given import Giving, windows
from structseq.tagger.held import Held


class Embedder(Held):
    """A trained model as a way from sequences to vectors: an autoencoder's bottleneck, the pooled states where a model
    answers with a label, of any other model the mean of its encoder's states. See `Held` for how it is made, saved and
    shared.

    Examples
    --------
    ::

        embedder = Embedder.load("segments")
        vectors = embedder.embed(frames_of_each_segment)  # (N, width)
    """

    holds = frozenset({"tags", "label", "target", "inputs"})

    def __init__(self, model: Model, **told: Any) -> None:
        super().__init__(model, **told)
        self._giving = Giving(model, self.tokenizer)
        with torch.inference_mode():
            self._table = model.inputs.word_table()  # of all known words, once

    def embed(self, sequences: Iterable[Any], *, look_ahead: int = 1024) -> np.ndarray:
        """(N, width) float32 vectors of sequences, each an `Example`, a list of tokens, a mapping of columns, or an
        array of frames (L, F).

        Raises `DataError` for anything else, and for a column that is missing.
        """
        if isinstance(sequences, (str, bytes)):
            raise DataError("embed: expected sequences, found a text; use embed_text")
        examples = (self._giving.example(given, f"sequence {n}") for n, given in enumerate(sequences, 1))
        found = [self.model.embed(group, self._table) for group in windows(examples, look_ahead)]
        return np.concatenate(found) if found else np.zeros((0, self.width), np.float32)

    def embed_text(self, text: str) -> np.ndarray:
        """(width,) the vector of a text, cut as the training data were."""
        vector: np.ndarray = self.model.embed([self._giving.text(text, "embed_text")], self._table)[0]
        return vector

    def embed_audio(self, path: str | Path) -> np.ndarray:
        """(width,) the vector of a recording; raises `DataError` for a file that is none."""
        vector: np.ndarray = self.model.embed([self._giving.audio(path, "embed_audio")], self._table)[0]
        return vector

    @property
    def width(self) -> int:
        """Of its vectors."""
        return self.model.embedding_width
