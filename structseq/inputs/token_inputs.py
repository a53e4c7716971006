"""Word features: word embeddings, pretrained vectors, word shape and affixes, characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from structseq import compiling
from structseq.data.vocabulary import Axis, axis_names
from structseq.features.base import FeatureOptions
from structseq.features.vectors import Floats, Vectors
from structseq.features.words import Affixes, AffixOptions, Characters, CharactersOptions, EmbeddingOptions, Words
from structseq.inputs.base import WordFeature


class WordEmbedding(WordFeature):
    """A trained vector for each word of the vocabulary and for unknown words.

    In training, a word that occurs n times becomes unknown with probability rate / (rate + n), drawn once per batch
    (Kiperwasser and Goldberg 2016, section 4.2).
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
    """Pretrained vectors; zeros until `fill` or a saved model sets them. The vector of unknown words stays zero."""

    def __init__(self, feature: Vectors, width: int, *, tune: bool = False) -> None:
        super().__init__(feature, width)
        self.vocabulary = feature.vocabulary
        self.embedding = nn.Embedding.from_pretrained(torch.zeros(len(self.vocabulary), width), freeze=not tune)

    def fill(self, vectors: Floats) -> None:
        """Copy vectors (V - 1, width), scaled to mean square 1/width like trained ones at the start."""
        table = torch.from_numpy(vectors)
        scale = table.square().mean().sqrt().clamp(min=1e-8) * self.width**0.5
        self.embedding.weight.data[1:] = table / scale

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        return {"embedding.weight": [axis_names(self.vocabulary.items), None]}

    def forward(self, index: Tensor) -> Tensor:
        return self.embedding(index)


class AffixEmbedding(WordFeature):
    """Trained vectors of a word's shape and affixes, concatenated."""

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


class CharacterCNN(WordFeature):
    """A convolution over characters, max-pooling over the word, ReLU (Ma and Hovy 2016, section 2.1).

    Row 0 of ``embedding`` is "outside the word", row 1 the unknown character, then the vocabulary.
    """

    class Options(CharactersOptions, FeatureOptions):
        """A further convolution over characters."""

    Index = Characters

    def __init__(self, feature: Characters, options: CharactersOptions) -> None:
        super().__init__(feature, options.width)
        self.vocabulary, windows = feature.vocabulary, options.windows
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, options.embedding)
        sizes = [self.width // len(windows) + (i < self.width % len(windows)) for i in range(len(windows))]
        # With more windows than filters, some windows get no filter.
        self.filters = nn.ParameterList(
            torch.empty(window, options.embedding, n) for window, n in zip(windows, sizes, strict=True) if n
        )
        self.bias = nn.Parameter(torch.zeros(self.width))
        bound = (3 / options.embedding) ** 0.5
        nn.init.uniform_(self.embedding.weight, -bound, bound)
        for weights in self.filters:
            nn.init.xavier_uniform_(weights.view(-1, weights.shape[-1]))

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        return {"embedding.weight": [["outside", *axis_names(self.vocabulary.items)], None]}

    def forward(self, index: Tensor) -> Tensor:
        lengths, characters = index[:, 0], index[:, 1:]
        best = torch.cat([self._highest(characters, lengths, weights) for weights in self.filters], -1)
        return torch.relu(best + self.bias)

    def _highest(self, characters: Tensor, lengths: Tensor, weights: Tensor) -> Tensor:
        tables = torch.einsum("ve,wen->wvn", self.embedding.weight, weights)  # (W, V, n)
        if tables.device.type == "cpu" and tables.dtype == torch.float32 and compiling.numba_available():
            highest: Tensor = _HighestWindows.apply(tables, characters, lengths)
            return highest
        return highest_windows(tables, characters, lengths)


def highest_windows(tables: Tensor, characters: Tensor, lengths: Tensor) -> Tensor:
    """`window_kernels.highest_windows` with torch operations; 0 for an empty word."""
    window, rows, filters = tables.shape
    longest = max(characters.shape[1], 1)
    before = (window - 1) // 2
    padded = nn.functional.pad(characters, (before, window - 1 - before + longest - characters.shape[1]))
    bags = padded.unfold(1, window, 1) + torch.arange(window, device=characters.device) * rows
    outputs = nn.functional.embedding_bag(bags.reshape(-1, window), tables.reshape(-1, filters), mode="sum")
    outside = (torch.arange(longest, device=characters.device) >= lengths.unsqueeze(1)).unsqueeze(-1)
    highest = outputs.view(-1, longest, filters).masked_fill(outside, -torch.inf).amax(1)
    return torch.where(lengths.unsqueeze(1) > 0, highest, torch.zeros_like(highest))


class _HighestWindows(torch.autograd.Function):
    """`highest_windows` with compiled kernels; ties go to the first window."""

    @staticmethod
    def forward(ctx: Any, tables: Tensor, characters: Tensor, lengths: Tensor) -> Tensor:
        from structseq.inputs import window_kernels

        tables, characters, lengths = tables.contiguous(), characters.contiguous(), lengths.contiguous()
        highest = torch.empty(len(characters), tables.shape[2])
        positions = torch.empty(highest.shape, dtype=torch.int64)
        arrays = [part.detach().numpy() for part in (tables, characters, lengths, highest, positions)]
        window_kernels.highest_windows(*arrays)
        ctx.save_for_backward(characters, lengths, positions)
        ctx.shape = tables.shape
        return highest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        from structseq.inputs import window_kernels

        for_tables = torch.zeros(ctx.shape)
        characters, lengths, positions = (part.numpy() for part in ctx.saved_tensors)
        window_kernels.highest_windows_back(
            upstream.contiguous().numpy(), characters, lengths, positions, for_tables.numpy()
        )
        return for_tables, None, None
