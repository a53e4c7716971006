"""Inputs: examples -> (B, T, F). What depends on a word's spelling alone is computed once per distinct word of a
batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from structseq.data.example import Example
from structseq.data.modality import TOKENS
from structseq.data.rows import Axis, open_rows
from structseq.data.vocabulary import Vocabulary
from structseq.dropout import LockedDropout
from structseq.errors import DataError
from structseq.padded import Padded


class WordFeature(nn.Module, ABC):
    """Something known of a word from its spelling alone.

    Two steps, because the first is done once for all known words: `index` turns words into small integers, `forward`
    turns those into vectors.
    """

    width: int

    @abstractmethod
    def index(self, words: Sequence[str]) -> Tensor:
        """(D, ...) int64: what `forward` needs of each of D words."""

    @abstractmethod
    def forward(self, index: Tensor) -> Tensor:
        """(D, width) vectors of D words."""

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        """Of each parameter whose entries stand for words, or parts of them, the names along its axes."""
        return {}


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Sentences as numbers, padded on the right with 0.

    Attributes
    ----------
    ids: (B, T) int64
        Number of each token's word: below V a known word, from V on ``strangers[id - V]``.
    strangers:
        The distinct words of this batch that training never saw.
    columns:
        (B, T) int64 for each further input column.
    lengths: (B,) int64
    """

    ids: np.ndarray
    strangers: tuple[str, ...]
    columns: Mapping[str, np.ndarray]
    lengths: np.ndarray


class Inputs(nn.Module):
    """Word features, side by side, and further columns; locked dropout on the whole.

    Parameters
    ----------
    vocabulary:
        Every word of the training data with its count; closed by name, open in use: strangers are indexed as they come.
    features:
        Word features by name.
    columns:
        Vocabularies of further input columns (part of speech, gazetteer flags) by name.
    column_width:
        Width of each column's vector.
    dropout:
        Locked dropout (Gal and Ghahramani 2016): one mask for all steps of a row.
    word_dropout:
        Probability that all of a token's input vanishes in training.
    """

    modality = TOKENS

    def __init__(
        self,
        vocabulary: Vocabulary,
        features: Mapping[str, WordFeature],
        *,
        columns: Mapping[str, Vocabulary] | None = None,
        column_width: int = 20,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.features = nn.ModuleDict(features)
        self.column_vocabularies = dict(columns or {})
        # In the order of the names: a column may have any name, and a module may not.
        self.column_embeddings = nn.ModuleList(
            nn.Embedding(len(known), column_width) for known in self.column_vocabularies.values()
        )
        self.dropout = LockedDropout(dropout)
        self.word_dropout = word_dropout
        self.word_width = sum(feature.width for feature in features.values())
        self.width = self.word_width + column_width * len(self.column_embeddings)
        for name, feature in features.items():
            self.register_buffer(f"known_{name}", feature.index(vocabulary.items), persistent=False)

    def prepare(self, examples: Sequence[Example]) -> None:
        """Everything is counted already: the vocabularies."""

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        """As of `WordFeature`, of all features and columns."""
        axes: dict[str, Sequence[Axis]] = {}
        for name, feature in self.features.items():
            assert isinstance(feature, WordFeature)
            axes |= {f"features.{name}.{parameter}": own for parameter, own in feature.named_axes().items()}
        for place, known in enumerate(self.column_vocabularies.values()):
            axes[f"column_embeddings.{place}.weight"] = [open_rows(known.items), None]
        return axes

    @property
    def columns(self) -> dict[str, nn.Module]:
        """The embedding of each further input column, by name."""
        return dict(zip(self.column_vocabularies, self.column_embeddings, strict=True))

    # -- examples -> numbers ------------------------------------------------------------------------------------------

    def encode(self, examples: Sequence[Example]) -> TokenBatch:
        """Numbers for a batch of examples; cheap enough to be done anew each time."""
        columns = {name: [column_of(example, name) for example in examples] for name in self.column_vocabularies}
        return self.encode_tokens([example.tokens for example in examples], columns)

    def encode_tokens(
        self, sentences: Sequence[Sequence[str]], columns: Mapping[str, Sequence[Sequence[str]]] | None = None
    ) -> TokenBatch:
        """The same for bare lists of tokens, with further columns by name."""
        lengths = np.fromiter((len(sentence) for sentence in sentences), np.int64, len(sentences))
        known = self.vocabulary._number
        flat = [known.get(word, -1) for sentence in sentences for word in sentence]
        numbers = np.array(flat, np.int64)
        strangers: dict[str, int] = {}
        if len(numbers) and numbers.min() < 0:
            words = [word for sentence in sentences for word in sentence]
            for place in np.flatnonzero(numbers < 0).tolist():
                numbers[place] = len(known) + strangers.setdefault(words[place], len(strangers))
        further = {}
        for name, vocabulary in self.column_vocabularies.items():
            rows = (columns or {}).get(name)
            found = None if rows is None else [len(row) for row in rows]
            if rows is None or found != lengths.tolist():
                raise DataError(
                    f"expected an input column {name!r} with a value for each token, found {found or 'none'}"
                )
            further[name] = _pad(np.array(vocabulary.numbers(v for row in rows for v in row), np.int64), lengths)
        return TokenBatch(_pad(numbers, lengths), tuple(strangers), further, lengths)

    # -- numbers -> vectors -------------------------------------------------------------------------------------------

    def word_vectors(self, ids: Tensor, strangers: Sequence[str]) -> Tensor:
        """(D, word_width) for D distinct word numbers, in increasing order: known words first, then all strangers."""
        known = ids[: len(ids) - len(strangers)]
        parts = []
        for name, feature in self.features.items():
            assert isinstance(feature, WordFeature)
            index = self.get_buffer(f"known_{name}")[known]
            if strangers:
                index = _stack(index, feature.index(strangers).to(index.device))
            parts.append(feature(index))
        return torch.cat(parts, -1) if parts else torch.zeros(len(ids), 0, device=self._device())

    def word_table(self) -> Tensor:
        """(V, word_width) vectors of all known words, for tagging: computed once, then looked up."""
        with torch.inference_mode():
            every = torch.arange(len(self.vocabulary), device=self._device())
            return (
                torch.cat([self.word_vectors(part, ()) for part in every.split(4096)])
                if len(every)
                else torch.zeros(0, self.word_width, device=self._device())
            )

    def forward(self, batch: TokenBatch, table: Tensor | None = None) -> Padded:
        """(B, T, F) input vectors; with ``table`` (of `word_table`) known words are looked up instead of computed."""
        lengths = torch.from_numpy(batch.lengths)
        if table is not None:
            vectors = self._looked_up(batch, table)
        else:
            distinct, places = np.unique(batch.ids, return_inverse=True)
            device = self._device()
            words = self.word_vectors(torch.from_numpy(distinct).to(device), batch.strangers)
            vectors = nn.functional.embedding(torch.from_numpy(places.reshape(batch.ids.shape)).to(device), words)
        parts = [vectors]
        for name, layer in self.columns.items():
            parts.append(layer(torch.from_numpy(batch.columns[name]).to(vectors.device)))
        vectors = torch.cat(parts, -1) if len(parts) > 1 else vectors
        if self.training and self.word_dropout:
            kept = torch.rand(vectors.shape[:2], device=vectors.device) >= self.word_dropout
            vectors = vectors * kept.unsqueeze(-1)
        return self.dropout(Padded(vectors, lengths))

    def _looked_up(self, batch: TokenBatch, table: Tensor) -> Tensor:
        if batch.strangers:
            numbers = torch.arange(len(batch.strangers), device=table.device)
            table = torch.cat([table, self.word_vectors(numbers, batch.strangers)])
        return nn.functional.embedding(torch.from_numpy(batch.ids).to(table.device), table)

    def _device(self) -> torch.device:
        return next((p.device for p in self.parameters()), torch.device("cpu"))


def column_of(example: Example, name: str) -> tuple[str, ...]:
    """The values of an input column; raises `DataError` where the example has none of that name."""
    try:
        return example.inputs[name]
    except KeyError:
        where = f" at {example.source}" if example.source else ""
        raise DataError(f"expected an input column {name!r}{where}, found {', '.join(example.inputs)}") from None


def _pad(flat: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(B, T) from all rows laid end to end."""
    longest = int(lengths.max()) if len(lengths) else 0
    if len(flat) == len(lengths) * longest:
        return flat.reshape(len(lengths), longest)
    table = np.zeros((len(lengths), longest), np.int64)
    table[np.arange(longest) < lengths[:, None]] = flat
    return table


def _stack(above: Tensor, below: Tensor) -> Tensor:
    """Two index tables one over the other; where one is wider the other is padded with 0."""
    if above.dim() == 2 and above.shape[1] != below.shape[1]:
        width = max(above.shape[1], below.shape[1])
        above, below = (nn.functional.pad(part, (0, width - part.shape[1])) for part in (above, below))
    return torch.cat([above, below])
