"""Token inputs: vectors of word features and columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from structseq.data.example import TOKENS, Example
from structseq.data.vocabulary import Axis, Vocabulary, axis_names
from structseq.dropout import LockedDropout
from structseq.features.base import Feature, FeatureOptions
from structseq.features.encoding import TokenBatch, TokenEncoder
from structseq.padded import Padded


class WordFeature(nn.Module, ABC):
    """Turns the integers that a `Feature` gives for a word into a vector.

    The integers of known words are computed once, vectors once per distinct word of a batch. For a section
    ``inputs.features.NAME``, a model calls ``kind(kind.Index(options, vocabularies), options)``.
    """

    Options: ClassVar[type[FeatureOptions]] = FeatureOptions
    Index: ClassVar[type[Feature]]
    width: int  # of a vector

    def __init__(self, feature: Feature, width: int) -> None:
        super().__init__()
        self.feature, self.width = feature, width

    def index(self, words: Sequence[str]) -> Tensor:
        """(D, ...) int64 for D words."""
        return torch.from_numpy(self.feature.index(words))

    @abstractmethod
    def forward(self, index: Tensor) -> Tensor:
        """(D, width) vectors."""

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        """As `Head.named_axes`, for words or their parts."""
        return {}


class Inputs(nn.Module):
    """Concatenated vectors of word features and further columns, with locked dropout."""

    modality = TOKENS

    def __init__(
        self,
        encoder: TokenEncoder,
        features: Mapping[str, WordFeature],
        *,
        column_width: int = 20,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.features = nn.ModuleDict(features)
        # A list, because a column's name may not be a valid module name.
        self.column_embeddings = nn.ModuleList(
            nn.Embedding(len(known), column_width) for known in encoder.columns.values()
        )
        self.dropout = LockedDropout(dropout)
        self.word_dropout = word_dropout
        self.word_width = sum(feature.width for feature in features.values())
        self.width = self.word_width + column_width * len(self.column_embeddings)
        for name, feature in features.items():
            self.register_buffer(f"known_{name}", feature.index(encoder.words.items), persistent=False)

    @property
    def column_vocabularies(self) -> Mapping[str, Vocabulary]:
        return self.encoder.columns

    def prepare(self, examples: Sequence[Example]) -> None:
        """Does nothing."""

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        axes: dict[str, Sequence[Axis]] = {}
        for name, feature in self.features.items():
            assert isinstance(feature, WordFeature)
            axes |= {f"features.{name}.{parameter}": own for parameter, own in feature.named_axes().items()}
        for position, known in enumerate(self.column_vocabularies.values()):
            axes[f"column_embeddings.{position}.weight"] = [axis_names(known.items), None]
        return axes

    @property
    def columns(self) -> dict[str, nn.Module]:
        """The embeddings of further columns."""
        return dict(zip(self.column_vocabularies, self.column_embeddings, strict=True))

    def encode(self, examples: Sequence[Example]) -> TokenBatch:
        return self.encoder.encode(examples)

    def encode_tokens(
        self, sentences: Sequence[Sequence[str]], columns: Mapping[str, Sequence[Sequence[str]]] | None = None
    ) -> TokenBatch:
        return self.encoder.encode_tokens(sentences, columns)

    def word_vectors(self, ids: Tensor, oov_words: Sequence[str]) -> Tensor:
        """(D, word_width) vectors of D word numbers: known words, then all ``oov_words``."""
        known = ids[: len(ids) - len(oov_words)]
        parts = []
        for name, feature in self.features.items():
            assert isinstance(feature, WordFeature)
            index = self.get_buffer(f"known_{name}")[known]
            if oov_words:
                index = _stack(index, feature.index(oov_words).to(index.device))
            parts.append(feature(index))
        return torch.cat(parts, -1) if parts else torch.zeros(len(ids), 0, device=self._device())

    def word_table(self) -> Tensor:
        """(V, word_width) vectors of all known words, for `forward`."""
        with torch.inference_mode():
            ids = torch.arange(len(self.encoder.words), device=self._device())
            if not len(ids):
                return torch.zeros(0, self.word_width, device=ids.device)
            return torch.cat([self.word_vectors(part, ()) for part in ids.split(4096)])

    def forward(self, batch: TokenBatch, table: Tensor | None = None) -> Padded:
        """(B, T, F) input vectors; ``table`` is a result of `word_table`, or None to compute the vectors."""
        ids = batch.ids
        if table is None:
            distinct, ids = np.unique(batch.ids, return_inverse=True)
            table = self.word_vectors(torch.from_numpy(distinct).to(self._device()), batch.oov_words)
        elif batch.oov_words:
            numbers = torch.arange(len(batch.oov_words), device=table.device)
            table = torch.cat([table, self.word_vectors(numbers, batch.oov_words)])
        rows = torch.from_numpy(ids.reshape(batch.ids.shape)).to(table.device)
        parts = [vectors := nn.functional.embedding(rows, table)]
        for name, layer in zip(self.encoder.columns, self.column_embeddings, strict=True):
            parts.append(layer(torch.from_numpy(batch.columns[name]).to(vectors.device)))
        vectors = torch.cat(parts, -1) if len(parts) > 1 else vectors
        if self.training and self.word_dropout:
            kept = torch.rand(vectors.shape[:2], device=vectors.device) >= self.word_dropout
            vectors = vectors * kept.unsqueeze(-1)
        return self.dropout(Padded(vectors, torch.from_numpy(batch.lengths)))

    def _device(self) -> torch.device:
        return next((p.device for p in self.parameters()), torch.device("cpu"))


def _stack(above: Tensor, below: Tensor) -> Tensor:
    """Concatenate index tables; 0 pads the narrower one."""
    if above.dim() == 2 and above.shape[1] != below.shape[1]:
        width = max(above.shape[1], below.shape[1])
        above, below = (nn.functional.pad(part, (0, width - part.shape[1])) for part in (above, below))
    return torch.cat([above, below])
