"""Word features: embeddings with a trained unknown, pretrained vectors, word shape and affixes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from structseq.data.vocabulary import Axis, axis_names
from structseq.features.affixes import Affixes, AffixOptions
from structseq.features.base import FeatureOptions
from structseq.features.vectors import Floats, Vectors
from structseq.features.words import EmbeddingOptions, Words
from structseq.inputs.base import WordFeature


class WordEmbedding(WordFeature):
    """A trained vector for each frequent word; in training, rare words stand in for the unknown.

    A word counted n times is replaced by the unknown with probability rate / (rate + n), drawn once a batch
    (Kiperwasser and Goldberg 2016, section 4.2), so that the unknown's vector is trained on what rare words do.
    """

    class Options(EmbeddingOptions, FeatureOptions):
        """Further word embeddings."""

    Index = Words

    def __init__(self, feature: Words, options: EmbeddingOptions) -> None:
        super().__init__(feature, options.width)
        self.vocabulary, rate = feature.vocabulary, options.unknown_rate
        self.embedding = nn.Embedding(len(self.vocabulary), self.width)
        nn.init.uniform_(self.embedding.weight, -((3 / self.width) ** 0.5), (3 / self.width) ** 0.5)
        counts = torch.tensor((0, *self.vocabulary.counts), dtype=torch.float32)
        replaced = rate / (rate + counts) if rate else torch.zeros(len(counts))
        self.register_buffer("replaced", replaced, persistent=False)

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        return {"embedding.weight": [axis_names(self.vocabulary.items), None]}

    def forward(self, index: Tensor) -> Tensor:
        if self.training:
            drawn = torch.rand(index.shape, device=index.device) < self.get_buffer("replaced")[index]
            index = index.masked_fill(drawn, 0)
        return self.embedding(index)


class PretrainedVectors(WordFeature):
    """Vectors learned elsewhere; words of the tagged text that training never saw find theirs too.

    They are zeros until `fill`, or a saved model, gives them their values; the unknown's stays zero.
    """

    def __init__(self, feature: Vectors, width: int, *, tune: bool = False) -> None:
        super().__init__(feature, width)
        self.vocabulary = feature.vocabulary
        self.embedding = nn.Embedding.from_pretrained(torch.zeros(len(self.vocabulary), width), freeze=not tune)

    def fill(self, vectors: Floats) -> None:
        """Take the vectors (V - 1, width) of the vocabulary's words.

        They are scaled so that their mean square is 1/width, that of trained embeddings, whatever the source's was.
        """
        table = torch.from_numpy(vectors)
        scale = table.square().mean().sqrt().clamp(min=1e-8) * self.width**0.5
        self.embedding.weight.data[1:] = table / scale

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        return {"embedding.weight": [axis_names(self.vocabulary.items), None]}

    def forward(self, index: Tensor) -> Tensor:
        return self.embedding(index)


class AffixEmbedding(WordFeature):
    """Trained vectors of a word's shape, and of its first and last characters, side by side."""

    class Options(AffixOptions, FeatureOptions):
        """Further shapes and affixes."""

    Index = Affixes

    def __init__(self, feature: Affixes, options: AffixOptions) -> None:
        super().__init__(feature, options.shape + options.width * len(feature.lengths))
        self.shapes, self.affixes = feature.shapes, feature.affixes
        self.shape_embedding = nn.Embedding(len(self.shapes), options.shape) if options.shape else None
        self.affix_embedding = nn.Embedding(len(self.affixes), options.width) if feature.lengths else None

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        tables = (("shape_embedding", self.shapes), ("affix_embedding", self.affixes))
        return {f"{name}.weight": [axis_names(known.items), None] for name, known in tables}

    def forward(self, index: Tensor) -> Tensor:
        parts = []
        if self.shape_embedding is not None:
            parts.append(self.shape_embedding(index[:, 0]))
        if self.affix_embedding is not None:
            parts.append(self.affix_embedding(index[:, 1:]).flatten(1))
        return torch.cat(parts, -1) if parts else index.new_zeros(len(index), 0, dtype=torch.float32)
